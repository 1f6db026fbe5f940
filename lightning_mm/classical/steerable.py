"""Complex steerable pyramid in the Fourier domain (Simoncelli and Freeman, 1995; Wadhwa et al., 2013).

Every band is an analytic signal: a filter that is one-sided along its orientation, so that a coefficient has an
amplitude and a phase. Band passes are products of a low-pass and a high-pass of raised cosines over log frequency; what
the first low-pass leaves out, up to the corners of the spectrum, is divided into orientations like all other bands
instead of being kept as one real residual, in which nothing could be shifted. The squares of all filters and of the
low-pass rest add up to one.

A band keeps no more of the spectrum than the box that its filter fills, and so has no more coefficients than it needs.
Boxes are not centred on zero: coefficients are those of the full-size band, demodulated. Neither phase differences nor
rotations see that.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

_NEGLIGIBLE = 1e-3
"""Filter values below this are left out; squared, they are the error of the reconstruction."""

Grid = NDArray[np.floating]


@dataclass(frozen=True)
class Layout:
    """How a pyramid divides the spectrum.

    Attributes:
        octaves: From one level's cutoff to the next.
        orientations: Bands per level.
        transition: Width of the filters' slopes in octaves.
    """

    octaves: float
    orientations: int
    transition: float


OCTAVE = Layout(1.0, 4, 1.0)
HALF_OCTAVE = Layout(0.5, 8, 0.75)


@dataclass(frozen=True)
class Band:
    """One filter and its place in the spectrum.

    Attributes:
        filter: (h, w) float32.
        top: Row of its first value in the spectrum whose zero frequency is in the middle (``fftshift``).
        left: Column of its first value there.
        level: 0 for the frequencies that the first low-pass leaves out, 1 for the first band pass and so on.
        orientation: Its direction is pi * orientation / orientations from the x axis to the y axis.
        cutoff: Frequency where it ends, relative to the highest along an axis; at most 1.
    """

    filter: Tensor
    top: int
    left: int
    level: int
    orientation: int
    cutoff: float

    @property
    def box(self) -> tuple[slice, slice]:
        """Its place in the spectrum, rows and columns."""
        height, width = self.filter.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class SteerablePyramid:
    """Analysis and synthesis of images of one size.

    Args:
        size: (H, W) of the images.
        depth: Octaves from the highest frequency to the low-pass rest; there are no bands where it is not positive.
        layout: How the spectrum is divided.
        device: Of the images.

    Attributes:
        bands: The filters, from the finest level to the coarsest.
    """

    def __init__(self, size: tuple[int, int], depth: int, layout: Layout, device: torch.device) -> None:
        self.size = size
        self.bands = [
            _cropped(full, level, orientation, cutoff, device)
            for level, (radial, cutoff) in enumerate(_radial(size, depth, layout))
            for orientation in range(layout.orientations)
            if (full := radial * _angular(size, orientation, layout)).max() > _NEGLIGIBLE
        ]

    def analyse(self, images: Tensor) -> list[Tensor]:
        """Coefficients of images (..., H, W), (..., h, w) complex64 of each band; amplitudes in the images' unit."""
        spectrum = torch.fft.fftshift(torch.fft.fft2(images, norm="forward"), dim=(-2, -1))
        return [torch.fft.ifft2(spectrum[(..., *band.box)] * band.filter, norm="forward") for band in self.bands]

    def synthesise(self, coefficients: Sequence[Tensor]) -> Tensor:
        """Images (..., H, W) from the coefficients of ``analyse``, without their low-pass rest."""
        lead, device = coefficients[0].shape[:-2], coefficients[0].device
        spectrum = torch.zeros(*lead, *self.size, dtype=torch.complex64, device=device)
        for band, values in zip(self.bands, coefficients, strict=True):
            spectrum[(..., *band.box)] += 2.0 * band.filter * torch.fft.fft2(values, norm="forward")
        return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)), norm="forward").real


@functools.lru_cache(maxsize=4)
def steerable_pyramid(size: tuple[int, int], depth: int, layout: Layout, device: torch.device) -> SteerablePyramid:
    """A pyramid, made once; see ``SteerablePyramid``."""
    with torch.inference_mode(False):
        return SteerablePyramid(size, depth, layout, device)


def quick_length(least: int) -> int:
    """The smallest length from a given one on that is quick to Fourier transform."""
    found: Any = scipy.fft.next_fast_len(least)
    return int(found)


def _frequencies(size: tuple[int, int]) -> tuple[Grid, Grid]:
    """(x, y) of the spectrum with zero in the middle, 1 being the highest along an axis."""
    y, x = (2.0 * np.fft.fftshift(np.fft.fftfreq(side)) for side in size)
    return np.broadcast_to(x, size), np.broadcast_to(y[:, None], size)


def _radial(size: tuple[int, int], depth: int, layout: Layout) -> list[tuple[Grid, float]]:
    """The levels' filters (H, W) without orientation, with the frequencies where they end."""
    if depth < 1:
        return []
    x, y = _frequencies(size)
    radius = np.log2(np.maximum(np.hypot(x, y), 1e-9))

    def high(cutoff: float) -> Grid:
        slope = np.clip((radius - math.log2(cutoff)) / layout.transition, -1.0, 0.0)
        return np.cos(0.5 * math.pi * slope)

    # The highest frequency of an even side is its own negative: a one-sided filter has no half of it to take.
    passed = (np.abs(x) < 1.0) * (np.abs(y) < 1.0) * 1.0
    cutoffs = [2.0 ** (-layout.octaves * number) for number in range(round(depth / layout.octaves) + 1)]
    levels = []
    for cutoff, before in zip(cutoffs, [1.0, *cutoffs], strict=False):
        levels.append((passed * high(cutoff), before))
        passed = passed * np.sqrt(1.0 - high(cutoff) ** 2)
    return levels


def _angular(size: tuple[int, int], orientation: int, layout: Layout) -> Grid:
    """A power of the cosine, one-sided; the squares of all of them and of their mirror images add up to one."""
    x, y = _frequencies(size)
    order = layout.orientations - 1
    scale = 2.0**order * math.factorial(order) / math.sqrt(layout.orientations * math.factorial(2 * order))
    angle = np.arctan2(y, x) - math.pi * orientation / layout.orientations
    return scale * np.maximum(np.cos(angle), 0.0) ** order


def _cropped(full: Grid, level: int, orientation: int, cutoff: float, device: torch.device) -> Band:
    """A filter in the smallest box whose sides are quick to transform."""
    kept = full > _NEGLIGIBLE
    starts, lengths = [], []
    for axis, side in enumerate(full.shape):
        filled = np.flatnonzero(kept.any(axis=1 - axis))
        length = min(quick_length(int(filled[-1] - filled[0]) + 1), side)
        starts.append(min(int(filled[0]), side - length))
        lengths.append(length)
    (top, left), (height, width) = starts, lengths
    values = torch.from_numpy(full[top : top + height, left : left + width].astype(np.float32))
    return Band(values.to(device), top, left, level, orientation, cutoff)
