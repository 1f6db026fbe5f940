"""Displacement of a region over time, its peak-to-peak and its dominant frequency."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.spectrum import SEGMENT, Peak, Spectrum, amplitudes_at, bridged, peaks_of, refined, sines_at
from lightning_mm.measuring.tracking import Tracker, common, require_opencv
from lightning_mm.video.opening import open_clip
from lightning_mm.video.regions import Region, region

LEAST_FRAMES = 4
UNLIKE = 0.25
"""Share of the points from which on a region is not one thing that moves."""

_MOSTLY = 0.9  # of the frames, in which a point is found
_MOVING = 0.75
_ABOVE_NOISE, _JITTER = 3.0, 0.1  # times the noise floor; px


@dataclass(frozen=True)
class Motion:
    """Displacement of a region relative to the clip's first frame.

    Attributes:
        displacement: (frames, 2) px as (x, y): the median over tracked features; NaN where there were none.
        features: (frames,) number of features tracked.
        fps: Frames per second.
        unlike: Share of the features, 0 to 1, that do not move as the region does; see ``unlike``.
    """

    displacement: NDArray[np.float64]
    features: NDArray[np.int64]
    fps: float
    unlike: float = 0.0

    @property
    def peak_to_peak(self) -> tuple[float, float]:
        """Largest minus smallest displacement along x and along y, px. Noise widens it."""
        x, y = np.nanmax(self.displacement, axis=0) - np.nanmin(self.displacement, axis=0)
        return float(x), float(y)

    def spectrum(self) -> Spectrum:
        """Amplitudes over frequency."""
        return Spectrum.of(self.displacement, self.fps)

    def peaks(self) -> list[Peak]:
        """The components that stand out of the noise, the largest first."""
        return peaks_of(self.displacement, self.fps)

    def dominant(self) -> tuple[float, float]:
        """Frequency (Hz) of the strongest component, noise or not, and its peak-to-peak (px) along its own direction.

        The frequency is refined between bins by a parabola through the peak; the amplitude is a least-squares sine at
        it.
        """
        spectrum = self.spectrum()
        height = spectrum.amplitude
        k = 1 + int(np.argmax(height[1:-1])) if len(height) > 2 else 0
        frequency = refined(height, k) * spectrum.resolution
        return frequency, 2.0 * float(amplitudes_at(self.displacement, self.fps, [frequency])[0, 0])


class MotionTracker:
    """Gathers the displacement of a region, one frame after the other.

    Args:
        frame: The first frame, uint8 or uint16 RGB (H, W, 3).
        place: Left, top, width and height in pixels.
        source: What the frame is of, for messages.
        gaps: Whether a frame in which everything is lost is a gap (NaN) instead of an error.
        points: (N, 2) as (x, y) px, to follow these instead of corners of this frame.

    Raises:
        InputError: OpenCV is not installed, or the region has nothing to track.
    """

    def __init__(
        self,
        frame: NDArray[Any],
        place: Region,
        source: str,
        gaps: bool = False,
        points: NDArray[np.floating] | None = None,
    ) -> None:
        self._tracker = Tracker(frame, place, source, points)
        self._source, self._gaps = source, gaps
        self._each: list[NDArray[np.float64]] = []
        self._displacement: list[NDArray[np.float64]] = []
        self._features: list[int] = []

    @property
    def points(self) -> NDArray[np.float64]:
        """(N, 2) px, the points that are followed."""
        return self._tracker.points

    def add(self, frame: NDArray[Any]) -> None:
        """Take the next frame, the first one included.

        Raises:
            InputError: Everything was lost in it.
        """
        each = self._tracker.each(frame)
        moved, features = common(each)
        if not features and not self._gaps:
            raise InputError(f"{self._source}: frame {len(self._features)}: every feature of the region was lost")
        self._displacement.append(moved)
        self._features.append(features)
        if len(self._each) < SEGMENT:
            self._each.append(each)

    def motion(self, fps: float) -> Motion:
        """What was gathered, at so many frames per second."""
        alike = unlike(np.stack(self._each), fps) if len(self._each) >= LEAST_FRAMES else 0.0
        return Motion(np.array(self._displacement, np.float64), np.array(self._features), fps, alike)


def unlike(each: NDArray[np.float64], fps: float) -> float:
    """Share of the points of a region that do not move as their median does, 0 to 1.

    Compared are the sines at the strongest vibration that any of them show, phase included; where nothing stands out
    of the noise, the displacements over time. A point differs by more than half of what the moving points move, and by
    more than noise.

    Args:
        each: (T, N, 2) displacement as (x, y) px of the points; gaps are NaN.
        fps: Frames per second.
    """
    known = each[:, np.isfinite(each).all(axis=2).mean(axis=0) > _MOSTLY]
    if known.shape[1] < 2:
        return 0.0
    peaks = peaks_of(known, fps, most=1)
    if peaks:
        moves = sines_at(known, fps, peaks[0].frequency)
        least = _ABOVE_NOISE * peaks[0].amplitude / peaks[0].strength
    else:
        moves = bridged(known.reshape(len(known), -1)).reshape(known.shape) / np.sqrt(len(known))
        least = _JITTER
    size = np.sqrt(np.square(moves).sum(axis=(0, 2)))
    away = np.sqrt(np.square(moves - np.median(moves, axis=1, keepdims=True)).sum(axis=(0, 2)))
    return float((away > max(0.5 * float(np.quantile(size, _MOVING)), least)).mean())


def track(input: Path | str, roi: str | None = None, fps: float | None = None) -> Motion:
    """Displacement of a region in every frame, relative to the first; arguments as of ``measure``.

    Raises:
        InputError: OpenCV is not installed, the region is not inside the frame, or it has nothing to track.
    """
    require_opencv()
    clip = open_clip(input, fps)
    place = region(roi, clip.width, clip.height)
    tracker: MotionTracker | None = None
    frames = 0
    for frame in clip:
        tracker = tracker or MotionTracker(frame, place, clip.name)
        tracker.add(frame)
        frames += 1
    if tracker is None or frames < LEAST_FRAMES:
        raise InputError(f"{clip.name}: {frames} frames; measuring motion takes at least {LEAST_FRAMES}")
    return tracker.motion(float(clip.fps))
