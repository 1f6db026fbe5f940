"""Displacement of a region over time, its peak-to-peak and its dominant frequency."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.spectrum import Peak, Spectrum, amplitudes_at, peaks_of, refined
from lightning_mm.measuring.tracking import Tracker, require_opencv
from lightning_mm.video.opening import open_clip
from lightning_mm.video.regions import Region, region

LEAST_FRAMES = 4


@dataclass(frozen=True)
class Motion:
    """Displacement of a region relative to the clip's first frame.

    Attributes:
        displacement: (frames, 2) px as (x, y): the median over tracked features; NaN where there were none.
        features: (frames,) number of features tracked.
        fps: Frames per second.
    """

    displacement: NDArray[np.float64]
    features: NDArray[np.int64]
    fps: float

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

    Raises:
        InputError: OpenCV is not installed, or the region has nothing to track.
    """

    def __init__(self, frame: NDArray[Any], place: Region, source: str, gaps: bool = False) -> None:
        self._tracker = Tracker(frame, place, source)
        self._source, self._gaps = source, gaps
        self._displacement: list[NDArray[np.float64]] = []
        self._features: list[int] = []

    def add(self, frame: NDArray[Any]) -> None:
        """Take the next frame, the first one included.

        Raises:
            InputError: Everything was lost in it.
        """
        moved, features = self._tracker(frame)
        if not features and not self._gaps:
            raise InputError(f"{self._source}: frame {len(self._features)}: every feature of the region was lost")
        self._displacement.append(moved)
        self._features.append(features)

    def motion(self, fps: float) -> Motion:
        """What was gathered, at so many frames per second."""
        return Motion(np.array(self._displacement, np.float64), np.array(self._features), fps)


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
