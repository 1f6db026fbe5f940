"""Displacement of a region over time, its peak-to-peak and its dominant frequency."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
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
        """Largest minus smallest displacement along x and along y, px. Noise widens it; see ``amplitude``."""
        x, y = np.ptp(self.displacement, axis=0)
        return float(x), float(y)

    def spectrum(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Frequencies (Hz) and amplitudes (px, shape (bins, 2)) of the detrended, Hann-windowed displacement."""
        count = len(self.displacement)
        time = np.arange(count)
        trend = np.stack([np.polyval(np.polyfit(time, axis, 1), time) for axis in self.displacement.T], axis=1)
        window = np.hanning(count)[:, None]
        amplitude = 2.0 * np.abs(np.fft.rfft((self.displacement - trend) * window, axis=0)) / window.sum()
        return np.fft.rfftfreq(count, 1.0 / self.fps), amplitude

    def dominant(self) -> tuple[float, float]:
        """Frequency (Hz) of the strongest component and its peak-to-peak (px) along its own direction.

        The frequency is refined between bins by a parabola through the peak; the amplitude is a least-squares sine at
        it.
        """
        frequencies, amplitude = self.spectrum()
        power = np.log((amplitude**2).sum(axis=1) + 1e-30)
        k = 1 + int(np.argmax(power[1:-1])) if len(power) > 2 else 0
        offset = 0.0
        if 0 < k < len(power) - 1:
            left, middle, right = power[k - 1 : k + 2]
            offset = 0.5 * (left - right) / (left - 2.0 * middle + right)
        frequency = float((k + offset) * frequencies[1])
        phase = 2.0 * math.pi * frequency * np.arange(len(self.displacement)) / self.fps
        time = np.linspace(-1.0, 1.0, len(phase))
        design = np.stack([np.sin(phase), np.cos(phase), np.ones_like(phase), time], axis=1)
        sine, cosine = np.linalg.lstsq(design, self.displacement, rcond=None)[0][:2]
        # The largest radius of the ellipse that the two components trace.
        return frequency, 2.0 * float(np.linalg.norm(np.stack([sine, cosine]), ord=2))


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
