"""Measuring motion in a clip: displacement of a region over time, its peak-to-peak and its dominant frequency."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.runs import require_writable, write_text_atomically
from lightning_mm.video.clip import open_clip
from lightning_mm.video.colour import Frame

_WINDOW = 31
_LEVELS = 3
_FEATURES = 100


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


def measure(input: Path, roi: str | None = None, fps: float | None = None, csv: Path | None = None) -> None:
    """Measure the motion of a region of a clip.

    Corners in the region are tracked from the first frame to every other one (pyramidal Lucas-Kanade of OpenCV, window
    31 px, 3 levels); the displacement is their median, accurate to about 0.01 px on textured regions.

    Args:
        input: A video file or a folder of images.
        roi: Region as X,Y,WIDTH,HEIGHT in pixels; the whole frame when left out.
        fps: True frame rate, where the file's is only for playing (high-speed footage).
        csv: File to write the displacement of every frame to.
    """
    if csv is not None:
        require_writable(csv, "--csv")
    motion = track(input, roi, fps)
    x, y = motion.peak_to_peak
    frequency, amplitude = motion.dominant()
    lost = motion.features[0] - motion.features.min()
    print(
        f"{input}: {len(motion.displacement)} frames at {motion.fps:g} fps, {motion.features[0]} features, {lost} lost"
    )
    print(f"peak-to-peak: {x:.3f} px along x, {y:.3f} px along y")
    print(f"strongest component: {frequency:.2f} Hz, {amplitude:.3f} px peak-to-peak")
    if csv is not None:
        write_text_atomically(csv, _csv(motion))
        print(f"wrote {csv}")


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
    if len(features) < 4:
        raise InputError(f"{input}: {len(features)} frames; measuring motion takes at least 4")
    return Motion(np.array(displacement, np.float64), np.array(features), float(clip.fps))


class Tracker:
    """Corners of a region of one frame, found again in others (pyramidal Lucas-Kanade).

    Args:
        frame: uint8 RGB (H, W, 3).
        region: Left, top, width and height in pixels.
        source: What the frame is of, for messages.

    Raises:
        InputError: OpenCV is not installed, or the region has nothing to track.
    """

    def __init__(self, frame: Frame, region: tuple[int, int, int, int], source: str) -> None:
        self._cv2 = require_opencv()
        left, top, width, height = region
        self._first = self._grey(frame)
        mask = np.zeros_like(self._first)
        mask[top : top + height, left : left + width] = 255
        self._corners = self._cv2.goodFeaturesToTrack(self._first, _FEATURES, 0.01, 5, mask=mask)
        if self._corners is None:
            raise InputError(f"{source}: region {left},{top},{width},{height} has no corner to track; choose another")

    def __call__(self, frame: Frame) -> tuple[NDArray[np.float64], int]:
        """Displacement (x, y) in px of the region, the median over corners, and the number of corners found."""
        moved, found, _ = self._cv2.calcOpticalFlowPyrLK(
            self._first, self._grey(frame), self._corners, None, winSize=(_WINDOW, _WINDOW), maxLevel=_LEVELS,
            criteria=(self._cv2.TERM_CRITERIA_EPS | self._cv2.TERM_CRITERIA_COUNT, 50, 0.001),
        )  # fmt: skip
        kept = found.reshape(-1).astype(bool)
        if not kept.any():
            return np.full(2, math.nan), 0
        return np.median((moved - self._corners).reshape(-1, 2)[kept], axis=0), int(kept.sum())

    def _grey(self, frame: Frame) -> Any:
        # Blurred because the tracker interpolates linearly, which overstates small motion of fine detail.
        grey = self._cv2.cvtColor(np.ascontiguousarray(frame), self._cv2.COLOR_RGB2GRAY)
        return self._cv2.GaussianBlur(grey, (0, 0), 1.0)


def region(roi: str | None, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels of "X,Y,WIDTH,HEIGHT" in a frame; the whole frame when left out.

    Raises:
        InputError: Not of this form, or not inside the frame.
    """
    if roi is None:
        return 0, 0, width, height
    try:
        x, y, w, h = (int(part) for part in roi.split(","))
    except ValueError:
        raise InputError(f"roi = {roi!r}: must be X,Y,WIDTH,HEIGHT in whole pixels") from None
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise InputError(f"roi = {roi!r}: must lie inside the frame of {width} x {height}")
    return x, y, w, h


def require_opencv() -> Any:
    """The cv2 module.

    Raises:
        InputError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise InputError("measuring needs OpenCV: pip install 'lightning_mm[measure]'") from None
    return cv2


def _csv(motion: Motion) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["frame", "time_s", "x_px", "y_px", "features"])
    for number, ((x, y), features) in enumerate(zip(motion.displacement, motion.features, strict=True)):
        rows.writerow([number, f"{number / motion.fps:.6f}", f"{x:.4f}", f"{y:.4f}", features])
    return text.getvalue()
