"""Carrying the paper's SSIM over to other validation pairs, by models whose SSIM is known on both.

The paper prints the SSIM of the baseline at three widths (Section 4.2, Appendix F, Table 3). The same networks trained
anew have another SSIM on other pairs; between two of them, log(1 - SSIM) is taken to change in proportion.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAPER_SSIM = {8: 0.9320, 32: 0.971, 40: 0.9744}
"""SSIM on the paper's pairs by encoder width: of the widths 8 and 40 by Appendix F, of 32 by Tables 2 and 3.

The 0.980 of width 32 in Table 1 is that of the model of 300 epochs that removal starts from: above that of width 40.
"""

WIDTHS = (8, 16, 24, 32, 40)
"""Encoder widths of the baseline's variants; the paper prints no SSIM of 16 and 24. The decoder is twice as wide."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Anchoring:
    """The paper's SSIM on our pairs.

    Attributes:
        value: Our SSIM.
        interval: Its 95 % interval over seeds, an end without bound being ``None``; ``None`` where every width has one
            seed.
        freedom: Degrees of freedom of the spread between seeds.
        spread: Standard deviation over seeds of -log(1 - SSIM), pooled over the widths; ``None`` with one seed each.
        disordered: Share of draws in which the widths around the paper's SSIM are not in order.
        implied: SSIM on the paper's pairs that ours stands for, of the widths that the paper does not print.
    """

    value: float
    interval: tuple[float | None, float | None] | None
    freedom: int
    spread: float | None
    disordered: float
    implied: dict[int, float]


def compress(ssim: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """-log(1 - SSIM), in which equal steps are equal factors of what is missing to 1."""
    return -np.log1p(-np.asarray(ssim, np.float64))


def anchor(scores: Mapping[int, list[float]], paper_ssim: float, draws: int, seed: int) -> Anchoring:
    """Find our SSIM at an SSIM of the paper.

    The interval draws the mean of each width from a normal distribution about the one measured, with the spread between
    seeds that is pooled over all widths and itself drawn from its chi-square distribution: resampling two or three
    seeds would tell too narrow an interval.

    Args:
        scores: Our SSIM of each seed by width; the widths of ``PAPER_SSIM`` at least, rising in the mean.
        paper_ssim: SSIM on the paper's pairs, within those of ``PAPER_SSIM``.
        draws: Number of draws.
        seed: Seed of the draws.
    """
    by_width = {width: compress(np.array(values)) for width, values in sorted(scores.items())}
    means = {width: float(values.mean()) for width, values in by_width.items()}
    target, known = float(compress(paper_ssim)), {w: float(compress(s)) for w, s in PAPER_SSIM.items()}
    widths = sorted(known)
    upper = next(i for i, width in enumerate(widths) if i and target <= known[width])
    low, high = widths[upper - 1], widths[upper]
    part = (target - known[low]) / (known[high] - known[low])
    value = means[low] + part * (means[high] - means[low])
    xs, ys = [means[width] for width in widths], [known[width] for width in widths]
    implied = {w: _expand(float(np.interp(means[w], xs, ys))) for w in means if w not in known}
    freedom = sum(len(values) - 1 for values in by_width.values())
    if freedom == 0:
        return Anchoring(_expand(value), None, 0, None, 0.0, implied)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in by_width.values())
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(squares / rng.chisquare(freedom, draws))
    a, b = (means[w] + sigma * rng.standard_normal(draws) / math.sqrt(len(by_width[w])) for w in (low, high))
    wrong, found = a >= b, a + part * (b - a)
    tail = 0.5 * (1.0 - CONFIDENCE)
    # Where the order is lost, nothing is known on either side.
    lowest = np.quantile(np.where(wrong, -np.inf, found), tail, method="lower")
    highest = np.quantile(np.where(wrong, np.inf, found), 1.0 - tail, method="higher")
    ends = [_expand(float(end)) if math.isfinite(end) else None for end in (lowest, highest)]
    spread = math.sqrt(squares / freedom)
    return Anchoring(_expand(value), (ends[0], ends[1]), freedom, spread, float(wrong.mean()), implied)


def _expand(value: float) -> float:
    return -math.expm1(-value)
