"""Sub-pixel refinement: patches of a frame found again in another by least squares, in floating point.

Inverse compositional Lucas-Kanade (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004) for pure translation, between
frames that are interpolated by cubic B-splines. Trackers that interpolate linearly, such as OpenCV's, overstate small
motion of sharp pictures by 3 to 7 %, since between pixels they compare with a blurred picture; and they take 8 bits.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

RADIUS = 15
SIDE = 2 * RADIUS + 1
TEXTURE = 1.0
"""Least mean squared gradient along a direction, in (grey levels of 256 per px)^2, for motion along it to be seen."""
ELONGATED = 0.06
"""Below this ratio of the smaller to the larger mean squared gradient a patch shows one straight edge."""

Grey = NDArray[np.float32]

_ITERATIONS, _SETTLED = 10, 1e-3
_MARGIN = 24
_POLE = math.sqrt(3.0) - 2.0


class Patches:
    """Square patches of ``SIDE`` px around points of a frame.

    Along a direction in which a patch has no texture, motion is not seen: there the refined displacement is 0.

    Args:
        grey: (H, W) in [0, 255].
        points: (N, 2) as (x, y) px, which need not be whole.

    Attributes:
        gradients: (N, 2) smaller and larger mean squared gradient, (grey levels per px)^2.
    """

    def __init__(self, grey: Grey, points: NDArray[np.floating]) -> None:
        self._size = grey.shape
        self._points = np.asarray(points, np.float64)
        wide = _sampled(*_coefficients(grey, self._points), self._points, RADIUS + 1)
        self._template = wide[:, 1:-1, 1:-1]
        down, right = wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1], wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]
        inside = self._inside(self._points)
        # Without its mean, since a change of brightness must not look like motion.
        self._gradient = np.stack([_centred(0.5 * part, inside) for part in (right, down)])
        squares = np.einsum("inyx,jnyx->nij", self._gradient, self._gradient).astype(np.float64)
        squares /= np.maximum(inside.sum(axis=(1, 2)), 1)[:, None, None]
        self.gradients, self._vectors = np.linalg.eigh(squares)
        self._seen = (self.gradients >= TEXTURE) & (self.gradients >= ELONGATED * self.gradients[:, 1:])
        inverse = np.where(self._seen, 1.0 / np.maximum(self.gradients, TEXTURE), 0.0)
        self._inverse = np.einsum("nik,nk,njk->nij", self._vectors, inverse, self._vectors)

    @property
    def seen(self) -> NDArray[np.int64]:
        """(N,) number of directions in which motion is seen: 2 at corners and texture, 1 at edges, 0 where flat."""
        return self._seen.sum(axis=1)

    def __call__(self, grey: Grey, start: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Find the patches again.

        Changes of brightness and of contrast of a patch do not count.

        Args:
            grey: (H, W) in [0, 255], of the size of the first.
            start: (N, 2) displacement px to within about a pixel.

        Returns:
            (N, 2) displacement px, and (N,) how alike the patches are: their correlation, at most 1; 0 where less than
            half of a patch lies inside of the frame.
        """
        moved = self._along_seen(np.asarray(start, np.float64))
        alike = np.zeros(len(moved))
        if not len(moved):
            return moved, alike
        coefficients, origin = _coefficients(grey, self._points + moved)
        active = np.arange(len(moved))
        for _ in range(_ITERATIONS):
            step, alike[active] = self._step(coefficients, origin, active, moved[active])
            moved[active] -= step
            active = active[np.abs(step).max(axis=1) > _SETTLED]
            if not len(active):
                break
        return moved, alike

    def _step(
        self, coefficients: Grey, origin: NDArray[np.int64], which: NDArray[np.int64], moved: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        at = self._points[which] + moved
        inside = self._inside(self._points[which]) & self._inside(at)
        pixels = inside.sum(axis=(1, 2))
        found, _ = _standardised(_sampled(coefficients, origin, at, RADIUS), inside)
        wanted, contrast = _standardised(self._template[which], inside)
        alike = np.einsum("nyx,nyx->n", found, wanted) / np.maximum(pixels, 1)
        right = np.einsum("inyx,nyx->ni", self._gradient[:, which], found - wanted)
        step = np.einsum("nij,nj->ni", self._inverse[which], right * (contrast / np.maximum(pixels, 1))[:, None])
        usable = pixels >= SIDE**2 / 2
        return np.where(usable[:, None], np.clip(step, -1.0, 1.0), 0.0), np.where(usable, alike, 0.0)

    def _along_seen(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = np.einsum("nki,nk->ni", self._vectors, moved)
        return np.einsum("nik,nk->ni", self._vectors, np.where(self._seen, parts, 0.0))

    def _inside(self, at: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N, SIDE, SIDE): which pixels of patches around these places lie inside of the frame."""
        height, width = self._size
        reach = np.arange(-RADIUS, RADIUS + 1)
        columns, rows = at[:, :1] + reach, at[:, 1:] + reach
        columns, rows = (columns >= 0) & (columns <= width - 1), (rows >= 0) & (rows <= height - 1)
        return rows[:, :, None] & columns[:, None, :]


def _coefficients(grey: Grey, places: NDArray[np.float64]) -> tuple[Grey, NDArray[np.int64]]:
    """B-spline coefficients of the blurred part of a frame around places, and its left and top."""
    import cv2

    height, width = grey.shape
    reach = RADIUS + _MARGIN
    limits = np.array([width, height])
    low = np.clip(np.floor(places.min(axis=0, initial=np.inf)) - reach, 0, limits - 1)
    high = np.clip(np.ceil(places.max(axis=0, initial=-np.inf)) + reach, low + 1, limits)
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    part = np.ascontiguousarray(grey[top:bottom, left:right])
    kernel = _kernel()
    result: Any = cv2.sepFilter2D(part, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return result, np.array([left, top])


def _kernel() -> NDArray[np.float64]:
    """A Gaussian of 1 px, which keeps aliases and noise down, with the B-spline's prefilter, cut where it is 1e-5."""
    gauss = np.exp(-0.5 * np.square(np.arange(-5, 6)))
    # Of the filter whose inverse samples the cubic B-spline at whole numbers (Unser 1999, eq. 16).
    prefilter = -6.0 * _POLE / (1.0 - _POLE**2) * _POLE ** np.abs(np.arange(-8, 9))
    kernel = np.convolve(gauss, prefilter)
    return kernel / kernel.sum()


def _sampled(coefficients: Grey, origin: NDArray[np.int64], at: NDArray[np.float64], radius: int) -> Grey:
    """Patches (N, 2 radius + 1, 2 radius + 1) around places (N, 2) as (x, y) px of the frame."""
    at = at - origin
    whole = np.floor(at).astype(int)
    taps = np.arange(-radius - 1, radius + 3)
    height, width = coefficients.shape
    columns = np.clip(whole[:, :1] + taps, 0, width - 1)
    rows = np.clip(whole[:, 1:] + taps, 0, height - 1)
    block = coefficients[rows[:, :, None], columns[:, None, :]]
    right, down = (_bspline(part)[:, :, None, None] for part in (at - whole).T)
    side = 2 * radius + 1
    wide = right[:, 0] * block[:, :, :side]
    for tap in range(1, 4):
        wide += right[:, tap] * block[:, :, tap : tap + side]
    patches = down[:, 0] * wide[:, :side]
    for tap in range(1, 4):
        patches += down[:, tap] * wide[:, tap : tap + side]
    return np.asarray(patches, np.float32)


def _bspline(t: NDArray[np.float64]) -> Grey:
    """The four weights (N, 4) of the uniform cubic B-spline."""
    parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return (np.stack(parts, axis=1) / 6.0).astype(np.float32)


def _centred(values: Grey, inside: NDArray[np.bool_]) -> Grey:
    """Patches (N, SIDE, SIDE) minus the mean of each one's pixels inside; 0 outside."""
    means = (values * inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    return (values - means[:, None, None].astype(np.float32)) * inside


def _standardised(values: Grey, inside: NDArray[np.bool_]) -> tuple[Grey, NDArray[np.float32]]:
    """Patches of mean 0 and variance 1 over the pixels inside, 0 outside; and their standard deviations (N,)."""
    values = _centred(values, inside)
    deviation = np.sqrt((values * values).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1) + 1e-9)
    return values / deviation[:, None, None], deviation
