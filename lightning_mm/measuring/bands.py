"""Which band to magnify: the strongest vibration of a clip that stands out of the noise, found before magnifying."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.measuring.grid import GridTracker, grid_points
from lightning_mm.measuring.spectrum import ABOVE_FLOOR, Spectrum, amplitudes_at, noise_floor, prominent, refined
from lightning_mm.measuring.tracking import FLAT, PointTracker, require_opencv
from lightning_mm.video.regions import Region

SEARCHED_FRAMES = 1024
POINTS = 150

_CANDIDATES, _CELLS = 1200, 600
_SHARE = 0.05
_WIDTH, _LEAST_BINS = 0.2, 1.5
_LEAST_PERIODS, _FEW_PERIODS, _NEAR_NYQUIST = 2.0, 3.0, 0.8
_LEVELS = "grey levels"


@dataclass(frozen=True)
class Suggestion:
    """A band to magnify.

    Attributes:
        low: Lower edge, Hz.
        high: Upper edge, Hz, below half the frame rate.
        frequency: The vibration's frequency, Hz.
        strength: Its height over the noise floor: the mean of the 5 % of points where it stands out most.
        amplitude: Its amplitude at these points, zero to peak, in ``unit``.
        unit: "px"; "grey levels" where nothing in the clip could be tracked.
        others: Frequencies in Hz of further vibrations, the strongest first.
        warnings: One line each: what makes the suggestion doubtful.
    """

    low: float
    high: float
    frequency: float
    strength: float
    amplitude: float
    unit: str = "px"
    others: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()


class BandSearch:
    """Gathers from the frames of an unmagnified clip what ``suggest_band`` needs.

    Follows up to 150 points with texture, spread over the region, and beside them the brightness of blocks, for clips
    in which nothing can be followed. Frames from number 1,024 on do not count.

    Args:
        frame: The first frame, uint8 or uint16 RGB (H, W, 3).
        region: Left, top, width and height in pixels of the part to look at.

    Raises:
        InputError: OpenCV is not installed.
    """

    def __init__(self, frame: NDArray[Any], region: Region) -> None:
        self._cv2 = require_opencv()
        _, _, width, height = region
        self._grid = GridTracker(frame, textured_points(frame, region, _step(width, height, _CANDIDATES)))
        self._region = region
        step = _step(width, height, _CELLS)
        self._cells = (max(1, width // step), max(1, height // step))
        self._brightness: list[NDArray[np.float32]] = []

    def add(self, frame: NDArray[Any]) -> None:
        """Take the next frame, the first one included."""
        if len(self._brightness) >= SEARCHED_FRAMES:
            return
        self._grid.add(frame)
        left, top, width, height = self._region
        part = np.ascontiguousarray(frame[top : top + height, left : left + width], np.float32)
        cells = self._cv2.resize(part, self._cells, interpolation=self._cv2.INTER_AREA).mean(axis=-1).reshape(-1)
        self._brightness.append(cells / 257.0 if frame.dtype == np.uint16 else cells)

    def suggestion(self, fps: float) -> Suggestion | None:
        """The band to magnify, ``None`` where nothing rises above the noise; see ``suggest_band``."""
        motion = self._grid.motion(fps)
        if motion.followed.any():
            return suggest_band(motion.known, fps)
        return suggest_band(np.stack(self._brightness)[:, :, None], fps, _LEVELS)


def textured_points(frame: NDArray[Any], region: Region, step: int) -> NDArray[np.float64]:
    """Up to 150 points with texture (N, 2) as (x, y) px, spread over a region, of those of a grid.

    Args:
        frame: uint8 or uint16 RGB (H, W, 3).
        region: Left, top, width and height in pixels.
        step: Distance of the grid's points in pixels.

    Raises:
        InputError: OpenCV is not installed.
    """
    points = grid_points(str(step), region)
    points = points[PointTracker(frame, points).kinds != FLAT]
    return points[np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int)]


def suggest_band(signals: NDArray[np.floating], fps: float, unit: str = "px") -> Suggestion | None:
    """The band around the strongest vibration that stands out of the noise.

    At every frequency the 5 % of points count where the spectrum rises highest above the point's own noise floor, so
    that a small vibrating part is found in a still scene, and no single point decides. Of the peaks of at least four
    times the floor and two periods, the one with the largest product of height over the floor and amplitude is taken:
    a loud hum that drowns in shake is less to be seen, and so is a clear one of a thousandth of a pixel. The band
    reaches 20 % to either side, and at least 1.5 bins.

    Args:
        signals: (T, N, D) displacement over time of N points along D axes, or another signal; gaps are NaN.
        fps: Frames per second.
        unit: Of the signals.

    Returns:
        The band, or ``None`` where nothing stands out.
    """
    if len(signals) < 8 or not signals.shape[1]:
        return None
    spectrum = Spectrum.of(signals, fps)
    heights = spectrum.amplitudes
    ratios = heights / noise_floor(heights)
    count = max(1, math.ceil(_SHARE * ratios.shape[1]))
    best = np.argpartition(-ratios, count - 1, axis=1)[:, :count]
    strength = np.take_along_axis(ratios, best, axis=1).mean(axis=1)
    amplitude = np.sqrt(np.square(np.take_along_axis(heights, best, axis=1)).mean(axis=1))
    found = prominent(strength, np.full(len(strength), ABOVE_FLOOR))
    periods = len(signals) / fps
    found = found[spectrum.frequencies[found] * periods >= _LEAST_PERIODS]
    if not len(found):
        return None
    found = found[np.argsort(strength[found] * amplitude[found])[::-1]]
    frequencies = [_frequency(heights[:, best[k]], int(k)) * spectrum.resolution for k in found]
    first, points = frequencies[0], best[found[0]]
    low, high = band_around(first, spectrum.resolution, fps)
    return Suggestion(
        low=low,
        high=high,
        frequency=first,
        strength=float(strength[found[0]]),
        amplitude=float(np.sqrt(np.square(amplitudes_at(signals[:, points], fps, [first])).mean())),
        unit=unit,
        others=tuple(f for f in frequencies[1:5] if not low <= f <= high),
        warnings=_warnings(first, fps, first * periods),
    )


def _frequency(heights: NDArray[np.float64], k: int) -> float:
    """Place of a peak near a bin in the mean spectrum of points (F, N)."""
    mean = np.sqrt(np.square(heights).mean(axis=1))
    nearby = np.arange(max(k - 1, 0), min(k + 2, len(mean)))
    return refined(mean, int(nearby[np.argmax(mean[nearby])]))


def band_around(frequency: float, resolution: float, fps: float) -> tuple[float, float]:
    """Edges in Hz: 20 % to either side and at least 1.5 bins, within half the frequency and half the frame rate."""
    reach = max(_WIDTH * frequency, _LEAST_BINS * resolution)
    return max(frequency - reach, 0.5 * frequency), min(frequency + reach, 0.5 * (frequency + 0.5 * fps))


def _step(width: int, height: int, points: int) -> int:
    return max(2, math.ceil(math.sqrt(width * height / points)))


def _warnings(frequency: float, fps: float, periods: float) -> tuple[str, ...]:
    lines = []
    if frequency > 0.5 * _NEAR_NYQUIST * fps:
        lines.append(
            f"{frequency:.4g} Hz is close to half the frame rate, {0.5 * fps:g} Hz: it may be the alias of a faster "
            f"vibration, such as {fps - frequency:.4g} Hz; film at a higher rate to be sure"
        )
    if periods < _FEW_PERIODS:
        lines.append(f"the clip holds only {periods:.1f} periods of {frequency:.4g} Hz, too few to tell it from drift")
    return tuple(lines)
