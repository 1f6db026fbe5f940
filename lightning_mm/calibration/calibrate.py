"""From people's ratings to the curve through their means and the SSIM at which it crosses a score."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_mm.calibration.bootstrap import Bootstrap, Over, bootstrap
from lightning_mm.calibration.quadratic import DEGREE, NoCrossingError, Quadratic
from lightning_mm.calibration.ratings import Ratings, read_ratings
from lightning_mm.errors import InputError
from lightning_mm.reporting.threshold import interval_text
from lightning_mm.runs import git_commit, package_versions


@dataclass(frozen=True)
class Calibration:
    """Ratings, the curve through their means, and where it crosses a score.

    Attributes:
        ratings: The scores.
        curve: Score over SSIM.
        score: The score whose SSIM is wanted.
        value: That SSIM.
        bootstrap: Its uncertainty; ``None`` where nothing can be drawn.
    """

    ratings: Ratings
    curve: Quadratic
    score: float
    value: float
    bootstrap: Bootstrap | None

    @property
    def freedom(self) -> int:
        """Degrees of freedom that the fit leaves."""
        return len(self.ratings.models) - DEGREE - 1

    @property
    def residual(self) -> float | None:
        """Residual standard deviation of the fit, in points of the scale; ``None`` without a degree of freedom."""
        if self.freedom == 0:
            return None
        errors = self.ratings.means - self.curve(self.ratings.ssim)
        return math.sqrt(float(errors @ errors) / self.freedom)

    def lines(self) -> list[str]:
        """What was found, in words."""
        c, *more = self.curve.coefficients
        b, a = (f"{'-' if value < 0.0 else '+'} {abs(value):.6g}" for value in more)
        what = "pairs" if self.ratings.pairs else "models"
        spread = "" if self.residual is None else f", residual standard deviation {self.residual:.3f}"
        lines = [
            f"SSIM {self.value:.4f} at score {self.score:g}, {self._interval()}",
            f"score = {c:.6g} {b} SSIM {a} SSIM^2 ({len(self.ratings.models)} {what}, degrees of freedom "
            f"{self.freedom}{spread})",
        ]
        if self.freedom == 0:
            lines.append("The curve goes through every point, so nothing tells how well a quadratic fits.")
        found = self.bootstrap
        if found is not None and found.below + found.above + found.undefined:
            lines.append(
                f"Of {found.draws:,} draws, {found.below:,} have that score below the observed SSIM, {found.above:,} "
                f"above it, and {found.undefined:,} not at all on a rising curve; the interval counts them in."
            )
        return lines

    def _interval(self) -> str:
        if self.bootstrap is None:
            return "no interval: one rater and one sample"
        return f"{interval_text(self.bootstrap.interval)} ({self.bootstrap.draws:,} bootstrap draws of {self.unit})"

    @property
    def unit(self) -> str:
        """What the bootstrap draws."""
        return "nothing" if self.bootstrap is None else self.bootstrap.unit


def calibrate(path: Path, score: float, draws: int, seed: int, over: Over | None) -> Calibration:
    """Read ratings, fit the curve, solve it and draw the interval; arguments as of ``fit``.

    Raises:
        InputError: The file is wrong, or the curve does not cross the score once in the observed range.
    """
    ratings = read_ratings(path)
    curve = Quadratic.fit(ratings.ssim, ratings.means)
    try:
        value = curve.crossing(score)
    except NoCrossingError as error:
        raise InputError(f"{path}: {error}") from None
    return Calibration(ratings, curve, score, value, bootstrap(ratings, score, draws, seed, over))


def record(found: Calibration, draws: int, seed: int, over: Over | None) -> dict[str, object]:
    """How the value came about, as plain types."""
    ratings, drawn = found.ratings, found.bootstrap
    spreads = [None] * len(ratings.models) if drawn is None or drawn.means is None else drawn.means.T.tolist()
    return {
        "how": "quadratic least squares of mean score over SSIM, solved on the rising branch in the observed range",
        "runs": [],
        "scores_sha256": ratings.digest,
        "settings": {"score": found.score, "draws": draws, "seed": seed, "over": over},
        "polynomial": list(found.curve.coefficients),
        "degrees_of_freedom": found.freedom,
        "residual_sd": found.residual,
        "bootstrap": None
        if drawn is None
        else {"unit": drawn.unit, "below": drawn.below, "above": drawn.above, "undefined": drawn.undefined},
        "models": [
            {"name": name, "ssim": float(ssim), "score": float(mean), "ratings": int(count), "interval": spread}
            for name, ssim, mean, count, spread in zip(
                ratings.models, ratings.ssim, ratings.means, ratings.counts.sum((0, 1)), spreads, strict=True
            )
        ],
        "raters": None if ratings.pairs else int(np.any(ratings.counts, axis=(1, 2)).sum()),
        "versions": package_versions(),
        "commit": git_commit(),
    }
