"""The quadratic trend of score over SSIM, and where its rising branch crosses a score (Appendix F)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEGREE = 2


class NoCrossingError(ValueError):
    """The curve does not cross the score once, upwards, in the observed range; the message says why."""


@dataclass(frozen=True)
class Quadratic:
    """A quadratic in SSIM, fitted by least squares.

    The fit is in z, which runs from -1 to 1 over the observed range: SSIM spans few hundredths, in which powers of SSIM
    itself are nearly collinear.

    Attributes:
        low: Lowest SSIM observed.
        high: Highest SSIM observed.
        scaled: Coefficients of 1, z, z^2.
    """

    low: float
    high: float
    scaled: tuple[float, float, float]

    @classmethod
    def fit(cls, ssim: NDArray[np.float64], scores: NDArray[np.float64]) -> "Quadratic":
        """Fit one score per SSIM; at least three different values of SSIM."""
        curve = np.polynomial.Polynomial.fit(ssim, scores, DEGREE)
        c, b, a = (float(value) for value in curve.coef)
        return cls(float(ssim.min()), float(ssim.max()), (c, b, a))

    def __call__(self, ssim: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score at each SSIM."""
        c, b, a = self.scaled
        z = (2.0 * ssim - self.low - self.high) / (self.high - self.low)
        return c + z * (b + z * a)

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """Coefficients of 1, SSIM, SSIM^2."""
        curve = np.polynomial.Polynomial(self.scaled, domain=[self.low, self.high]).convert()
        c, b, a = (float(value) for value in np.pad(curve.coef, (0, DEGREE + 1 - len(curve.coef))))
        return c, b, a

    def crossing(self, score: float) -> float:
        """SSIM at which the rising branch has a score.

        Raises:
            NoCrossingError: There is none in the observed range, or the falling branch has the score there, too.
        """
        rising, falling = (float(root) for root in crossings(np.array([self.scaled]), score)[:, 0])
        up, down = (self._inside(root) for root in (rising, falling))
        seen = f"SSIM {self.low:.4f} to {self.high:.4f}"
        if up and down:
            raise NoCrossingError(
                f"score {score:g} is ambiguous: the curve has it twice in {seen}, rising at {self._ssim(rising):.4f} "
                f"and falling at {self._ssim(falling):.4f}"
            )
        if up:
            return self._ssim(rising)
        if down:
            raise NoCrossingError(f"the curve has score {score:g} in {seen} only where it falls, which ranks no model")
        ends = self(np.array([self.low, self.high]))
        side = "below" if ends.max() < score else "above"
        raise NoCrossingError(
            f"the curve lies {side} score {score:g} over all of {seen} ({ends[0]:.2f} and {ends[1]:.2f} at the ends), "
            "and is not drawn out beyond what was observed"
        )

    def _inside(self, z: float) -> bool:
        return -1.0 <= z <= 1.0

    def _ssim(self, z: float) -> float:
        return 0.5 * (self.low + self.high + z * (self.high - self.low))


def crossings(scaled: NDArray[np.float64], score: float) -> NDArray[np.float64]:
    """Where quadratics have a score on their rising and on their falling branch.

    Args:
        scaled: Coefficients of 1, z, z^2 of each, (N, 3).
        score: The score.

    Returns:
        z on the rising branch and on the falling one, (2, N); NaN where that branch does not exist or has it nowhere.
    """
    c, b, a = scaled.T
    shift = c - score
    inside = b * b - 4.0 * a * shift
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(inside > 0.0, np.sqrt(np.abs(inside)), np.nan)
        # 2 a z + b is the slope: +slope on the rising branch; of two equal forms, the one that cancels no digits.
        rising = np.where(b > 0.0, -2.0 * shift / (b + slope), (slope - b) / (2.0 * a))
        falling = np.where(b < 0.0, -2.0 * shift / (b - slope), (-slope - b) / (2.0 * a))
    found = np.stack([rising, falling])
    return np.where(np.isfinite(found), found, np.nan)
