"""Video files."""

from bisect import bisect_right
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

from av.error import FFmpegError
from av.video.frame import VideoFrame

from lightning_mm.errors import InputError
from lightning_mm.video.clip import ACCEPTED, DEFAULT_FPS, standard_rate
from lightning_mm.video.colour import Frame
from lightning_mm.video.container import open_container, reason_of
from lightning_mm.video.decoding import DecodedClip, Progress, decode
from lightning_mm.video.sound import SoundPart
from lightning_mm.video.stamps import grid_rate, is_variable, nearest, read_stamps

# Containers whose index leads to a key frame at or before a time; others are searched by guessing.
_INDEXED = ("mov", "matroska")


class VideoFile(DecodedClip):
    """A video file, decoded by FFmpeg.

    Frames that are unevenly spaced in time are replaced by the nearest ones on an even grid, since filters whose bands
    are in Hz and files of constant rate both need evenly spaced frames; so the clip keeps its duration and its sound.
    The rate that the file declares is believed where its time stamps are merely rounded.

    Args:
        path: The file.
        fps: Frame rate instead of the container's.
    """

    def __init__(self, path: Path, fps: Fraction | None = None) -> None:
        self.path = path
        with self._open() as container:
            stream = self._stream(container)
            rate = standard_rate(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
            nominal, self._tick = stream.guessed_rate, Fraction(stream.time_base or 0)
            seconds = stream.duration * self._tick if stream.duration else None
            self.has_audio = bool(container.streams.audio)
            aspect = stream.sample_aspect_ratio
            self._indexed = container.format.name.startswith(_INDEXED)
            self._stamps = read_stamps(container, stream)
            counted = None if self._stamps is None else len(self._stamps)
            self.frames = stream.frames or (round(seconds * rate) if seconds else counted)
        self.variable_rate = self._stamps is not None and is_variable(self._stamps)
        self.fps = rate if fps is None else fps
        self._resampled = self.variable_rate and fps is None
        if self._resampled:
            self._even_out(rate, nominal)
        # Of frames that are taken as they come, though unevenly, the sound does not fit either.
        self.retimed = self.fps != rate if not self.variable_rate else not self._resampled
        if self.variable_rate:
            how = "the nearest frames are taken" if self._resampled else "its frames are taken as they come,"
            self.warnings = (f"{path}: the frame rate varies; {how} at {float(self.fps):g} per second",)
        with closing(self._decode()) as frames:
            first = self._look_at(next(frames, None), aspect)
        # Or packets and frames do not correspond one to one, and a frame's number does not tell its time.
        self._seekable = self._indexed and self._stamps is not None and first.pts == self._stamps[0]

    def _even_out(self, average: Fraction, nominal: Fraction | None) -> None:
        assert self._stamps is not None
        rate = grid_rate(self._stamps, self._tick, average, nominal)
        points = round(int(self._stamps[-1] - self._stamps[0]) * self._tick * rate) + 1
        if points > 2 * len(self._stamps) + 100:  # a clock that jumped, not a camera that paused
            self._resampled = False
        else:
            self.fps, self.frames = rate, points

    @property
    def sound(self) -> SoundPart | None:
        """The file's sound, unless its frame rate was overridden."""
        return SoundPart(self.path) if self.has_audio and not self.retimed else None

    def __iter__(self) -> Generator[Frame]:
        """Decode from the start."""
        return self.since(0)

    def since(self, number: int) -> Generator[Frame]:
        """Decode from the key frame before a frame on where the file has an index, else from the start."""
        stamps = self._stamps
        if self._resampled and stamps is not None:
            start = int(stamps[0]) * self._tick
            at = bisect_right(stamps, int((start + number / self.fps) / self._tick)) - 1
            with closing(self._decode(at)) as frames:
                yield from self._arrays(nearest(frames, self._tick, start, self.fps, number), number)
        else:
            with closing(self._decode(number)) as frames:
                yield from self._arrays(frames, number)

    def _open(self) -> Any:
        try:
            return open_container(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            reason = reason_of(error)
        size = self.path.stat().st_size
        reason = "the file is empty" if size == 0 else f"not a readable video: {reason}"
        raise InputError(f"{self.path}: {reason}; {ACCEPTED}")

    def _decode(self, first: int = 0) -> Generator[VideoFrame]:
        """Every frame that decodes, from number ``first`` on; says in ``partial`` when some did not."""
        self.partial = None
        for seek in (True, False) if first > 0 and self._seekable else (False,):
            with self._open() as container:
                stream = self._stream(container)
                progress = Progress()
                sought = self._sought(container, stream, first, progress) if seek else None
                if seek and sought is None:
                    continue
                number, frames = sought or (0, decode(container, stream, progress))
                yield from islice(frames, max(first - number, 0), None)
                self.partial = self._shortfall(stream, progress)
                return

    def _sought(
        self, container: Any, stream: Any, first: int, progress: Progress
    ) -> tuple[int, Iterator[VideoFrame]] | None:
        """A number up to ``first`` and the frames from it on; ``None`` where the index doesn't lead there."""
        assert self._stamps is not None
        number = min(first, len(self._stamps) - 1)
        while number > 0 and self._stamps[number - 1] == self._stamps[number]:
            number -= 1  # of frames that share a time stamp only the first can be told
        stamp = int(self._stamps[number])
        shared = int(number + 1 < len(self._stamps) and self._stamps[number + 1] == stamp)
        frames = decode(container, stream, progress)
        try:
            container.seek(stamp - shared, stream=stream)  # or the key frame found could be the second of those
        except FFmpegError:
            return None
        frame = next(frames, None)
        if frame is None or frame.pts is None or frame.pts > stamp:
            return None
        while frame is not None and (frame.pts is None or frame.pts < stamp):
            frame = next(frames, None)
        if frame is None or frame.pts != stamp:
            return None
        # Frames that need others from before the key frame did not decode, which is no damage.
        progress.damaged, progress.frames = False, number + 1
        return number, chain([frame], frames)
