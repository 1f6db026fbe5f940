"""A part of a clip: from one time to another, a rectangle of the picture, larger or smaller."""

import math
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from itertools import islice

import numpy as np
from PIL import Image

from lightning_mm.errors import InputError
from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Frame
from lightning_mm.video.sound import SoundPart

_LARGEST_SCALE = 16.0


def excerpt(
    clip: Clip,
    start: float | None = None,
    end: float | None = None,
    crop: tuple[int, int, int, int] | None = None,
    scale: float | None = None,
) -> Clip:
    """A part of a clip as a clip, the clip itself where nothing is asked for.

    Args:
        clip: The whole.
        start: Time of the first frame in seconds, by the clip's ``fps``: the frames at times ``start <= t < end``.
        end: Time to end before in seconds; up to the end when left out or beyond it.
        crop: Left, top, width and height in pixels of the clip.
        scale: Factor on width and height, after the crop; bicubic, averaging over all pixels where it makes it smaller.

    Returns:
        The part, with the part of the sound that belongs to it.

    Raises:
        InputError: ``end`` not after ``start``, ``start`` not before the clip's end (where its length is not known,
            on reading), ``crop`` not inside the frame, or ``scale`` not above 0 and up to 16.
    """
    if (start, end, crop, scale) == (None, None, None, None):
        return clip
    return _Excerpt(clip, start, end, crop, scale)


class _Excerpt(Clip):
    def __init__(
        self,
        clip: Clip,
        start: float | None,
        end: float | None,
        crop: tuple[int, int, int, int] | None,
        scale: float | None,
    ) -> None:
        self.clip = clip
        self._interval(start, end)
        x, y, width, height = crop or (0, 0, clip.width, clip.height)
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > clip.width or y + height > clip.height:
            inside = f"must lie inside the frame of {clip.width} x {clip.height}"
            raise InputError(f"crop = {x},{y},{width},{height}: {inside}")
        self._place = slice(y, y + height), slice(x, x + width)
        if scale is not None and not 0.0 < scale <= _LARGEST_SCALE:
            raise InputError(f"scale = {scale:g}: must be a number above 0 and up to {_LARGEST_SCALE:g}")
        factor = 1.0 if scale is None else scale
        self.width, self.height = max(1, round(width * factor)), max(1, round(height * factor))
        self._scaled = (self.width, self.height) != (width, height)
        self.path, self.fps, self.depth, self.colour = clip.path, clip.fps, clip.depth, clip.colour
        self.sample_aspect, self.retimed, self.variable_rate = clip.sample_aspect, clip.retimed, clip.variable_rate
        self.live, self.once, self.warnings = clip.live, clip.once, clip.warnings
        self.has_audio = clip.has_audio

    def _interval(self, start: float | None, end: float | None) -> None:
        clip = self.clip
        for name, value in (("start", start), ("end", end)):
            if value is not None and not (math.isfinite(value) and value >= 0.0):
                raise InputError(f"{name} = {value:g}: must be a time in seconds, 0 or more")
        if start is not None and end is not None and end <= start:
            raise InputError(f"end = {end:g}: must be after start = {start:g}")
        self._start = start
        self._first = 0 if start is None else _frame_at(start, clip.fps)
        self._end = None if end is None else _frame_at(end, clip.fps)
        if self._end is not None and self._end <= self._first:
            between = f"between start = {start or 0.0:g} and end = {end:g}"
            raise InputError(f"{clip.name}: no frame {between} at {float(clip.fps):g} per second")
        if clip.frames is not None and self._first >= clip.frames:
            raise self._too_late(clip.frames)
        ends = [number for number in (self._end, clip.frames) if number is not None]
        self.frames = min(ends) - self._first if clip.frames is not None else None

    def _too_late(self, frames: int | None) -> InputError:
        length = "before" if frames is None else f"after {float(frames / self.clip.fps):g} s, {frames} frames"
        return InputError(f"start = {self._start or 0.0:g}: {self.clip.name} ends {length}")

    @property
    def name(self) -> str:
        return self.clip.name

    @property
    def partial(self) -> str | None:  # type: ignore[override]
        return self.clip.partial

    @property
    def sound(self) -> SoundPart | None:
        whole, fps = self.clip.sound, self.fps
        if whole is None or (self._first == 0 and self._end is None):
            return whole
        return whole.part(Fraction(self._first) / fps, None if self._end is None else self._end / fps)

    def stop(self) -> None:
        self.clip.stop()

    def __iter__(self) -> Generator[Frame]:
        return self.since(0)

    def since(self, number: int) -> Generator[Frame]:
        first = self._first + number
        read = first
        with closing(self.clip.since(first)) as frames:
            for frame in islice(frames, None if self._end is None else max(0, self._end - first)):
                read += 1
                yield self._part(frame)
        if read == first == self._first:
            raise self._too_late(None)

    def _part(self, frame: Frame) -> Frame:
        part = frame[self._place]
        return resized(part, self.width, self.height) if self._scaled else np.ascontiguousarray(part)


def _frame_at(seconds: float, fps: Fraction) -> int:
    """Number of the first frame at or after a time; what a decimal misses of a frame's time does not count."""
    return math.ceil(seconds * float(fps) - 1e-6)


def resized(frame: Frame, width: int, height: int) -> Frame:
    """A frame in another size: bicubic, by a filter that widens with the reduction; all channels are treated alike."""
    if frame.dtype == np.uint8:
        return np.array(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
    out = np.empty((height, width, 3), np.uint16)
    for channel in range(3):  # Pillow has no colour of 16 bits
        plane = Image.fromarray(frame[..., channel].astype(np.float32))
        values = np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC))
        out[..., channel] = values.clip(0, 65535).round()
    return out
