"""Classical image filters to compare kernels with: those of the paper's Section 3.2, on a grid of scales and angles."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate2d

Kernel = NDArray[np.float64]
BLUR, EDGE, RIDGE = "Gaussian blur", "directional edge detector", "line detector"
LAPLACIAN, CORNER, GABOR = "Laplacian operator", "corner detector", "Gabor filter"
DEFINITIONS = {
    BLUR: "Gaussian",
    EDGE: "first derivative of a Gaussian along the angle",
    RIDGE: "second derivative of a Gaussian along the angle",
    LAPLACIAN: "Laplacian of a Gaussian",
    CORNER: "mixed second derivative of a Gaussian, along the angle and across it",
    GABOR: "Gaussian times a cosine or sine along the angle, of a wavelength of 2 or 3 sigma",
}
SIGMAS = (0.6, 0.8, 1.0, 1.4, 2.0, 2.8, 4.0)
ANGLES = 12
MAX_OFFSET = 4


@dataclass(frozen=True)
class Filter:
    """A classical filter.

    Attributes:
        name: Its kind, a key of ``DEFINITIONS``.
        sigma: Of its Gaussian, px.
        angle: Degrees, 0 along x, 90 along y (downwards); ``None`` where it has none.
        kernel: (N, N) of norm 1.
    """

    name: str
    sigma: float
    angle: float | None
    kernel: Kernel


@dataclass(frozen=True)
class Match:
    """The filter that a kernel resembles most.

    Attributes:
        filter: The filter; ``None`` for a kernel of zeros.
        correlation: Normalised correlation, without sign, in [0, 1].
        offset: (x, y) px by which the filter lies off the kernel's centre.
    """

    filter: Filter | None
    correlation: float
    offset: tuple[int, int] = (0, 0)


def filter_bank(size: int) -> list[Filter]:
    """All filters.

    Args:
        size: Odd side of the kernels in pixels; those with a sigma of more than a fifth of it are left out.
    """
    half = size // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    bank = []
    for sigma in (s for s in SIGMAS if 5.0 * s <= size):
        gauss = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
        bank += [_unit(BLUR, sigma, None, gauss)]
        bank += [_unit(LAPLACIAN, sigma, None, ((x**2 + y**2) / sigma**2 - 2.0) * gauss)]
        for name, kind, turn in _ORIENTED:
            for number in range(ANGLES):
                angle = turn * number / ANGLES
                cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                bank.append(
                    _unit(name, sigma, angle, kind((x * cos + y * sin) / sigma, (y * cos - x * sin) / sigma) * gauss)
                )
    return bank


def _edge(along: Kernel, across: Kernel) -> Kernel:
    return along


def _ridge(along: Kernel, across: Kernel) -> Kernel:
    return along**2 - 1.0


def _corner(along: Kernel, across: Kernel) -> Kernel:
    return along * across


def _wave(wavelength: float, of: Callable[[Kernel], Kernel]) -> Callable[[Kernel, Kernel], Kernel]:
    return lambda along, across: of(2.0 * math.pi * along / wavelength)


# Each with the angle after which it repeats, up to its sign.
_ORIENTED: list[tuple[str, Callable[[Kernel, Kernel], Kernel], float]] = [
    (EDGE, _edge, 180.0),
    (RIDGE, _ridge, 180.0),
    (CORNER, _corner, 90.0),
    *((GABOR, _wave(wavelength, of), 180.0) for wavelength in (2.0, 3.0) for of in (np.cos, np.sin)),
]


def nearest(kernel: Kernel, bank: list[Filter]) -> Match:
    """The filter of the bank with the highest normalised correlation, wherever within ``MAX_OFFSET`` px of the centre.

    Args:
        kernel: (N, N).
        bank: Filters of the same size.
    """
    norm = float(np.linalg.norm(kernel))
    if norm == 0.0:
        return Match(None, 0.0)
    best = Match(None, 0.0)
    padded = np.pad(kernel / norm, MAX_OFFSET)
    for candidate in bank:
        found = np.abs(correlate2d(padded, candidate.kernel, mode="valid"))
        row, column = np.unravel_index(int(found.argmax()), found.shape)
        if found[row, column] > best.correlation:
            offset = (int(column) - MAX_OFFSET, int(row) - MAX_OFFSET)
            best = Match(candidate, float(min(found[row, column], 1.0)), offset)
    return best


def _unit(name: str, sigma: float, angle: float | None, kernel: Kernel) -> Filter:
    return Filter(name, sigma, angle, kernel / np.linalg.norm(kernel))
