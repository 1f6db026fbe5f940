"""The clip of a session: opened within the limits, and looked through for what vibrates in it."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_mm.demo.limits import Limits
from lightning_mm.errors import InputError
from lightning_mm.measuring.bands import Suggestion, suggest_band, textured_points
from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.grid import GridMotion, GridTracker
from lightning_mm.measuring.motion import LEAST_FRAMES
from lightning_mm.measuring.printing import plain
from lightning_mm.measuring.scale import Scale
from lightning_mm.measuring.spectrum import direction_at
from lightning_mm.video.clip import Clip, exact_rate
from lightning_mm.video.colour import Frame
from lightning_mm.video.opening import open_clip

CANDIDATES = 600
_SHARE, _LEAST_POINTS = 0.05, 3


@dataclass(frozen=True)
class Analysis:
    """What was found in the clip before magnifying it.

    Attributes:
        findings: Of the points where it vibrates most, for figures; ``None`` where nothing could be followed.
        suggestion: The band to magnify; ``None`` where nothing rises above the noise.
        points: (N, 2) as (x, y) px: where it vibrates most, the strongest first; none where nothing could be followed.
        along: "x" or "y", the direction in which it does.
        lines: What to say about it.
    """

    findings: Findings | None
    suggestion: Suggestion | None
    points: NDArray[np.float64]
    along: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """A clip that was taken up.

    Attributes:
        clip: What is taken of it; can be read again.
        name: The file's name.
        notices: What was left out of it, and what else should be known, one line each.
        first: Its first frame (H, W, 3).
        frames: Number of frames.
        motion: Displacement of points of it.
    """

    clip: Clip
    name: str
    notices: tuple[str, ...]
    first: Frame
    frames: int
    motion: GridMotion

    def rate(self, fps: float | None) -> float:
        """True frame rate in Hz: the one given, else the file's.

        Raises:
            InputError: It is no rate.
        """
        return float(self.clip.fps if not fps else exact_rate(fps))

    def analysis(self, fps: float | None = None) -> Analysis:
        """What vibrates, for a true frame rate in Hz."""
        rate, height, width = self.rate(fps), *self.first.shape[:2]
        motion = replace(self.motion, fps=rate)
        if not motion.followed.any() or self.frames < LEAST_FRAMES:
            few = f"it takes {LEAST_FRAMES} frames" if self.frames < LEAST_FRAMES else "the picture has no texture"
            return Analysis(
                None, None, np.zeros((0, 2)), "x", (f"Motion cannot be measured: {few}. Set the band by hand.",)
            )
        band = suggest_band(motion.known, rate)
        amplitudes = motion.rms() if band is None else motion.amplitude_at(band.frequency)
        count = max(_LEAST_POINTS, round(_SHARE * int(motion.followed.sum())))
        strongest = np.argsort(-np.nan_to_num(amplitudes, nan=-1.0))[:count]
        strongest = strongest[motion.followed[strongest]]
        some = GridMotion(
            motion.points[strongest], motion.displacement[:, strongest], motion.kinds[strongest], rate
        )  # fmt: skip
        findings = Findings(
            self.name,
            self.first,
            self.frames,
            rate,
            (0, 0, width, height),
            Scale(),
            grid=some,
            searched=True,
            suggestion=band,
        )
        along = "x"
        if band is not None:
            axis = direction_at(some.displacement[:, 0], rate, band.frequency)
            along = "x" if abs(axis[0]) >= abs(axis[1]) else "y"
        return Analysis(findings, band, some.points, along, _lines(band))


def load(path: Path, limits: Limits) -> Generator[tuple[int, int | None], None, Loaded]:
    """Take up a clip and follow points through it.

    Args:
        path: A video file.
        limits: What is taken of it.

    Yields:
        Number of frames looked through, and of all where that is known.

    Returns:
        The clip.

    Raises:
        InputError: The file is too large or not usable, or OpenCV is not installed.
    """
    limits.check(path)
    clip, notices = limits.within(open_clip(path))
    notices = [*clip.warnings, *notices]
    first: Frame | None = None
    tracker: GridTracker | None = None
    count = 0
    with closing(iter(clip)) as frames:
        for frame in frames:
            if tracker is None:
                first = frame.copy()
                tracker = GridTracker(frame, _textured(frame))
            tracker.add(frame)
            count += 1
            yield count, clip.frames
    if first is None or tracker is None:
        raise InputError(f"{path.name}: no frame could be read")
    if clip.partial:
        notices.append(clip.partial)
    notices = [notice.replace(str(path), path.name) for notice in notices]
    return Loaded(clip, path.name, tuple(notices), first, count, tracker.motion(float(clip.fps)))


def _textured(frame: Frame) -> NDArray[np.float64]:
    """Points with texture, spread over the frame."""
    height, width = frame.shape[:2]
    step = max(2, round((width * height / CANDIDATES) ** 0.5))
    return textured_points(frame, (0, 0, width, height), step)


def _lines(band: Suggestion | None) -> tuple[str, ...]:
    if band is None:
        return ("Nothing rises above the noise. Set the band by hand, or magnify in static mode.",)
    lines = [
        f"Strongest vibration: {plain(band.frequency)} Hz, {band.amplitude:.3g} {band.unit} where it is clearest, "
        f"{band.strength:.3g} times the noise floor. Suggested band: {plain(band.low)} to {plain(band.high)} Hz."
    ]
    if band.others:
        lines.append(f"Further vibrations: {', '.join(plain(f) for f in band.others)} Hz.")
    return (*lines, *(f"{line[0].upper()}{line[1:]}." for line in band.warnings))
