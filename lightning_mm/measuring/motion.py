"""Displacement of a region over time, its peak-to-peak and its dominant frequency."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.spectrum import Peak, Spectrum, amplitudes_at, peaks_of, refined
from lightning_mm.measuring.tracking import Tracker, region, require_opencv
from lightning_mm.video.clip import open_clip

LEAST_FRAMES = 4


@dataclass(frozen=True)
class Motion:
    """Displacement of a region relative to the clip's first frame.

    Attributes:
        displacement: (frames, 2) px as (x, y): the median over tracked features.
        features: (frames,) number of features still tracked.
        fps: Frames per second.
    """

    displacement: NDArray[np.float64]
    features: NDArray[np.int64]
    fps: float

    @property
    def peak_to_peak(self) -> tuple[float, float]:
        """Largest minus smallest displacement along x and along y, px. Noise widens it."""
        x, y = np.ptp(self.displacement, axis=0)
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


def track(input: Path, roi: str | None = None, fps: float | None = None) -> Motion:
    """Displacement of a region in every frame, relative to the first; arguments as of ``measure``.

    Raises:
        InputError: OpenCV is not installed, the region is not inside the frame, or it has nothing to track.
    """
    require_opencv()
    clip = open_clip(input, fps)
    place = region(roi, clip.width, clip.height)
    displacement, features = [], []
    tracker: Tracker | None = None
    for frame in clip:
        tracker = tracker or Tracker(frame, place, str(input))
        moved, found = tracker(frame)
        if not found:
            raise InputError(f"{input}: frame {len(features)}: every feature of the region was lost")
        displacement.append(moved)
        features.append(found)
    if len(features) < LEAST_FRAMES:
        raise InputError(f"{input}: {len(features)} frames; measuring motion takes at least {LEAST_FRAMES}")
    return Motion(np.array(displacement, np.float64), np.array(features), float(clip.fps))
