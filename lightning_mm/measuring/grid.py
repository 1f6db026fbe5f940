"""Many points of a clip, each followed by itself."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.spectrum import Peak, Spectrum, amplitudes_at, peaks_of
from lightning_mm.measuring.tracking import FLAT, PointTracker
from lightning_mm.video.regions import Region

MOST_POINTS = 2000
LOST = "lost"
"""What a point is that was followed through less than half of the clip."""


@dataclass(frozen=True)
class GridMotion:
    """Displacement of points relative to the clip's first frame.

    Attributes:
        points: (N, 2) as (x, y) px in the first frame.
        displacement: (T, N, 2) px as (x, y), NaN where a point was not found.
        kinds: (N,) "corner", "edge", "flat" as of ``PointTracker``, or "lost".
        fps: Frames per second.
    """

    points: NDArray[np.float64]
    displacement: NDArray[np.float64]
    kinds: NDArray[np.str_]
    fps: float

    @property
    def followed(self) -> NDArray[np.bool_]:
        """(N,) whether a point was followed through at least half of the clip."""
        return (self.kinds != FLAT) & (self.kinds != LOST)

    @property
    def known(self) -> NDArray[np.float64]:
        """(T, M, 2) px: displacement of the points that were followed."""
        return self.displacement[:, self.followed]

    def spectrum(self) -> Spectrum:
        """Of the points that were followed."""
        return Spectrum.of(self.known, self.fps)

    def peaks(self) -> list[Peak]:
        """Of the root mean square over the points that were followed."""
        return peaks_of(self.known, self.fps)

    def amplitude_at(self, frequency: float) -> NDArray[np.float64]:
        """(N,) px, zero to peak, at a frequency in Hz; NaN for points that were not followed."""
        found = np.full(len(self.points), math.nan)
        found[self.followed] = amplitudes_at(self.known, self.fps, [frequency])[0]
        return found

    def rms(self) -> NDArray[np.float64]:
        """(N,) px: root mean square of the distance from a point's mean place; NaN where it was not followed."""
        found = np.full(len(self.points), math.nan)
        away = self.known - np.nanmean(self.known, axis=0)
        found[self.followed] = np.sqrt(np.nanmean(np.square(away).sum(axis=2), axis=0))
        return found


class GridTracker:
    """Gathers the displacement of points, one frame after the other.

    Args:
        frame: The first frame, uint8 or uint16 RGB (H, W, 3).
        points: (N, 2) as (x, y) px.
    """

    def __init__(self, frame: NDArray[Any], points: NDArray[np.float64]) -> None:
        self._tracker = PointTracker(frame, points)
        self._textured = np.flatnonzero(self._tracker.kinds != FLAT)
        self._moving = PointTracker(frame, points[self._textured])
        self._found: list[NDArray[np.float32]] = []

    @property
    def textured(self) -> int:
        """Number of points that can be followed at all."""
        return len(self._textured)

    def add(self, frame: NDArray[Any]) -> None:
        """Take the next frame, the first one included."""
        self._found.append(self._moving(frame).astype(np.float32))

    def motion(self, fps: float) -> GridMotion:
        """What was gathered, at so many frames per second."""
        displacement = np.full((len(self._found), len(self._tracker.points), 2), math.nan)
        if self.textured:
            displacement[:, self._textured] = self._found
        kinds = self._tracker.kinds.astype("U6")
        lost = np.isfinite(displacement).all(axis=2).mean(axis=0) < 0.5
        kinds[lost & (kinds != FLAT)] = LOST
        return GridMotion(self._tracker.points, displacement, kinds, fps)


def grid_points(grid: str, region: Region) -> NDArray[np.float64]:
    """Points of a grid over a region, (N, 2) as (x, y) px, row by row: the middles of equal cells.

    Args:
        grid: "12x8" for 12 columns and 8 rows, or "20" for a point every 20 px.
        region: Left, top, width and height in pixels.

    Raises:
        InputError: Not of this form, finer than a point per pixel, or more than 2,000 points.
    """
    left, top, width, height = region
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*(?:[xX]\s*([0-9]{1,6})\s*)?", grid)
    if match is None or not int(match[1]) or not int(match[2] or 1):
        raise InputError(f"grid = '{grid}': must be COLUMNSxROWS, such as 12x8, or a step in pixels, such as 20")
    if match[2] is None:
        step = int(match[1])
        columns, rows = max(1, width // step), max(1, height // step)
        xs = left + (width - (columns - 1) * step - 1) / 2.0 + step * np.arange(columns)
        ys = top + (height - (rows - 1) * step - 1) / 2.0 + step * np.arange(rows)
    else:
        columns, rows = int(match[1]), int(match[2])
        xs = left + (np.arange(columns) + 0.5) * width / columns - 0.5
        ys = top + (np.arange(rows) + 0.5) * height / rows - 0.5
    if columns > width or rows > height:
        raise InputError(f"grid = '{grid}': more than a point per pixel of the region of {width} x {height}")
    if columns * rows > MOST_POINTS:
        raise InputError(f"grid = '{grid}': {columns * rows} points; at most {MOST_POINTS}")
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)
