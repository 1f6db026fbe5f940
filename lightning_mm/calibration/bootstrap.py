"""Bootstrap intervals of the SSIM at a score: over raters, over samples, over both, or over pairs."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_mm.calibration.quadratic import Quadratic, crossings
from lightning_mm.calibration.ratings import MIN_MODELS, Ratings
from lightning_mm.errors import InputError

Over = Literal["raters", "samples", "both"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """What draws with replacement gave.

    Attributes:
        unit: What was drawn, in words.
        draws: Number of draws.
        interval: 95 % interval of the SSIM, by percentiles; an end beyond the observed range is ``None``.
        below: Draws whose curve lies above the score over the whole observed range, so that the SSIM is below it.
        above: Draws whose curve lies below the score over the whole range.
        undefined: Draws whose curve has the score only where it falls, or that lack a model; they widen both ends.
        means: 95 % interval of each model's mean score, (2, M); ``None`` for pairs.
    """

    unit: str
    draws: int
    interval: tuple[float | None, float | None]
    below: int
    above: int
    undefined: int
    means: NDArray[np.float64] | None


def bootstrap(ratings: Ratings, score: float, draws: int, seed: int, over: Over | None = None) -> Bootstrap | None:
    """Draw raters, samples or pairs with replacement and fit the curve to each draw.

    Raters and samples are crossed, so "both" draws the two independently and weights a score by the product (Owen,
    2007). Draws of pairs that have fewer than three values of SSIM are drawn again.

    Args:
        ratings: The scores.
        score: The score whose SSIM is wanted.
        draws: Number of draws.
        seed: Seed of the draws.
        over: What to draw; raters where there are two or more, else samples.

    Returns:
        The draws; ``None`` where there is one rater and one sample.

    Raises:
        InputError: There is only one of what is to be drawn, or ``over`` is given for pairs.
    """
    rng = np.random.default_rng(seed)
    if ratings.pairs:
        if over is not None:
            raise InputError(f"--over {over}: the file has pairs of ssim and score alone, which are drawn themselves")
        return _over_pairs(ratings, score, draws, rng)
    numbers = {"raters": ratings.scores.shape[0], "samples": ratings.scores.shape[1]}
    if over is None:
        over = next((unit for unit, number in numbers.items() if number > 1), None)  # pyright: ignore
    if over is None:
        return None
    drawn = ("raters", "samples") if over == "both" else (over,)
    for unit in drawn:
        if numbers[unit] < 2:
            raise InputError(f"--over {over}: the file has one of the {unit}, and needs at least two")
    weights = [
        rng.multinomial(number, np.full(number, 1.0 / number), draws).astype(float)
        if unit in drawn
        else np.ones((1, number))
        for unit, number in numbers.items()
    ]
    sums, counts = (_weighted(table, *weights) for table in (ratings.scores, ratings.counts))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts  # NaN where a draw has no score of a model
    unit = " and ".join(f"{numbers[unit]} {unit}" for unit in drawn)
    tail = 50.0 * (1.0 - CONFIDENCE)
    spread = np.nanpercentile(means, (tail, 100.0 - tail), axis=0)
    basis = _basis(ratings.ssim, ratings.ssim)
    return _summary(means @ np.linalg.pinv(basis).T, score, ratings.ssim, unit, spread)


def _over_pairs(ratings: Ratings, score: float, draws: int, rng: np.random.Generator) -> Bootstrap:
    number = len(ratings.ssim)
    chosen = rng.integers(number, size=(draws, number))
    while len(few := np.flatnonzero(_different(ratings.ssim[chosen]) < MIN_MODELS)):
        chosen[few] = rng.integers(number, size=(len(few), number))
    basis = _basis(ratings.ssim[chosen], ratings.ssim)
    scaled = (np.linalg.pinv(basis) @ ratings.means[chosen][..., None])[..., 0]
    return _summary(scaled, score, ratings.ssim, f"{number} pairs", None)


def _weighted(table: NDArray[np.float64], raters: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray:
    """Sums over raters and samples, weighted by draw: (B or 1, R) and (B or 1, S) to (B, M)."""
    if len(raters) == 1:
        return np.tensordot(samples, table.sum(0), axes=(1, 0))
    if len(samples) == 1:
        return np.tensordot(raters, table.sum(1), axes=(1, 0))
    return np.einsum("br,bs,rsm->bm", raters, samples, table, optimize=True)


def _different(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return 1 + (np.diff(np.sort(values, axis=1), axis=1) > 0.0).sum(1)


def _basis(ssim: NDArray[np.float64], observed: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = observed.min(), observed.max()
    z = (2.0 * ssim - low - high) / (high - low)
    return np.stack([np.ones_like(z), z, z * z], axis=-1)


def _summary(
    scaled: NDArray[np.float64],
    score: float,
    ssim: NDArray[np.float64],
    unit: str,
    means: NDArray[np.float64] | None,
) -> Bootstrap:
    rising, falling = crossings(scaled, score)
    c, b, a = scaled.T
    ends = np.stack([c - b + a, c + b + a])
    found, fallen = (np.abs(root) <= 1.0 for root in (rising, falling))
    known = np.isfinite(scaled).all(1)
    outside = known & ~found & ~fallen
    above, below = outside & (ends.max(0) < score), outside & (ends.min(0) > score)
    undefined = ~(found | above | below)
    values = np.select([found, above, below], [rising, np.inf, -np.inf], np.nan)
    tail = 0.5 * (1.0 - CONFIDENCE)
    # What is not known may lie on either side.
    lowest = np.quantile(np.where(undefined, -np.inf, values), tail, method="lower")
    highest = np.quantile(np.where(undefined, np.inf, values), 1.0 - tail, method="higher")
    low, high = float(ssim.min()), float(ssim.max())
    interval = tuple(
        0.5 * (low + high + float(z) * (high - low)) if np.isfinite(z) else None for z in (lowest, highest)
    )
    numbers = [int(mask.sum()) for mask in (below, above, undefined)]
    return Bootstrap(unit, len(scaled), (interval[0], interval[1]), numbers[0], numbers[1], numbers[2], means)


def interval_of(curve: Quadratic, found: Bootstrap | None) -> tuple[float, float] | None:
    """The part of the observed range that the interval covers, for a figure."""
    if found is None:
        return None
    low, high = found.interval
    return curve.low if low is None else low, curve.high if high is None else high
