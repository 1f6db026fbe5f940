"""Decoding video with FFmpeg: what files, pipes and streams have in common."""

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.error import EOFError as EndOfStream
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame

from lightning_mm.errors import InputError
from lightning_mm.video.clip import ACCEPTED, Clip
from lightning_mm.video.colour import Frame, colour_of, orientation_of, turned
from lightning_mm.video.pixels import ToRGB, depth_of


@dataclass
class Progress:
    """How far decoding has come.

    Attributes:
        frames: Frames decoded.
        damaged: Whether something could not be decoded.
        end: Latest time stamp of a frame in seconds.
    """

    frames: int = 0
    damaged: bool = False
    end: Fraction = Fraction(0)


def decode(container: Any, stream: Any, progress: Progress) -> Generator[VideoFrame]:
    """Every frame of a stream that decodes, in order of display; errors are noted and passed over."""
    stream.thread_type = "AUTO"
    tick = Fraction(stream.time_base or 0)  # frames that the decoder held back don't know theirs
    packets = container.demux(stream)
    finished = False
    while not finished:
        frames: list[VideoFrame] = []
        try:
            packet = next(packets, None)
        except FFmpegError:
            packet, progress.damaged = None, True
        try:
            if packet is None:
                finished = True
                frames = stream.decode(None)  # the decoder still holds frames back
            elif packet.is_corrupt:
                progress.damaged = True
            elif packet.size:
                frames = packet.decode()
        except EndOfStream:
            pass
        except FFmpegError:
            progress.damaged = True
        for frame in frames:
            progress.damaged |= bool(frame.is_corrupt)
            progress.frames += 1
            progress.end = max(progress.end, (frame.pts or 0) * tick)
            yield frame


class DecodedClip(Clip):
    """A clip whose frames FFmpeg decodes; the first frame tells how to make RGB of them."""

    def _stream(self, container: Any) -> Any:
        # The cover picture of a music file is a video stream too.
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            found = "only sound" if container.streams.audio else "no video"
            raise InputError(f"{self.name}: {found} in it; {ACCEPTED}")
        if streams[0].codec_context is None:
            raise InputError(f"{self.name}: its video is in a format that cannot be decoded; {ACCEPTED}")
        return streams[0]

    def _look_at(self, first: VideoFrame | None, aspect: Fraction | None) -> VideoFrame:
        """Set what the first frame tells, and give it back."""
        if first is None:
            raise InputError(f"{self.name}: not one frame of it can be decoded; {ACCEPTED}")
        self._coded_size = (first.width, first.height)
        self._turn = orientation_of(first)
        swap = self._turn[0]
        self.width, self.height = self._coded_size[::-1] if swap else self._coded_size
        if aspect:
            self.sample_aspect = 1 / aspect if swap else Fraction(aspect)
        self.colour, self._source_range = colour_of(first)
        self.depth = depth_of(first.format)
        return first

    def _arrays(self, frames: Iterable[VideoFrame], number: int = 0) -> Generator[Frame]:
        convert = ToRGB(self.depth, self.colour, self._source_range)
        for index, frame in enumerate(frames, number):
            if (frame.width, frame.height) != self._coded_size:
                size = f"{frame.width} x {frame.height} pixels"
                raise InputError(f"{self.name}: the size of the frames changes at frame {index}, to {size}")
            yield turned(convert(frame), *self._turn)

    def _shortfall(self, stream: Any, progress: Progress) -> str | None:
        """Why frames are missing, after reading to the end."""
        promised = _tagged_duration(stream)
        short = promised is not None and promised - progress.end > max(Fraction(1, 4), 3 / self.fps)
        if not (progress.damaged or short):
            return None
        of = f" of about {self.frames}" if self.frames and self.frames > progress.frames else ""
        return f"{self.name}: damaged or cut short; {progress.frames}{of} frames could be read"


def _tagged_duration(stream: Any) -> Fraction | None:
    """Seconds of a Matroska stream by its own tag: such a file ends without an error wherever it is cut."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+)(\.\d+)?", stream.metadata.get("DURATION", ""), re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds)) + Fraction(fraction or 0)
