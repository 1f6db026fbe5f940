"""Carrying a clip's sound into its copy."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.error import ArgumentError, FFmpegError

from lightning_mm.video.container import open_container


@dataclass(frozen=True)
class SoundPart:
    """The sound of a file, or the part of it that belongs to some of its frames.

    Attributes:
        path: The file.
        start: Begin in seconds after the first frame; what is earlier is left out, unless this is 0.
        end: End in seconds after the first frame; ``None``: all that there is.
    """

    path: Path
    start: Fraction = Fraction(0)
    end: Fraction | None = None

    def part(self, start: Fraction, end: Fraction | None) -> "SoundPart":
        """A part of this part, in seconds after its start."""
        ends = [self.start + end] if end is not None else []
        return SoundPart(self.path, self.start + start, min([*ends, *([self.end] if self.end else [])], default=None))


class Sound:
    """The audio packets of a file, copied in step with the frames so that neither has to wait in memory.

    Packets are copied whole: those that begin within the part, some 20 ms of sound each.

    Args:
        part: What to copy.
    """

    def __init__(self, part: SoundPart) -> None:
        self.part = part
        self.source = open_container(part.path)
        video = self.source.streams.video
        first = video[0] if video else None
        # Frames are written from time 0, wherever the source began.
        self.start = (first.start_time or 0) * (first.time_base or Fraction(0)) if first else Fraction(0)
        self.targets: dict[int, Any] = {}
        self.packets: Iterator[Any] = iter(())
        self.waiting: Any = None
        self.damaged = False

    def add_to(self, container: Any) -> None:
        """Add a stream to the output for each audio stream of the source.

        Raises:
            ValueError: The container cannot hold this kind of sound.
        """
        streams = list(self.source.streams.audio)
        self.targets = {stream.index: container.add_stream_from_template(stream) for stream in streams}
        if self.part.start:
            with suppress(FFmpegError):  # it is then read from the start and passed over
                self.source.seek(int((self.start + self.part.start - 1) * 1_000_000))
        self.packets = self.source.demux(streams)

    def copy(self, container: Any, until: Fraction | None) -> None:
        """Copy the packets up to a time in seconds of the output; all of them for ``None``."""
        start = self.start + self.part.start
        while (packet := self.waiting or self._next()) is not None:
            if until is not None and packet.dts * packet.time_base - start > until:
                self.waiting = packet
                return
            self.waiting = None
            shift = round(start / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts -= shift
            packet.stream = self.targets[packet.stream.index]
            try:
                container.mux_one(packet)
            except ArgumentError:  # time stamps that run backwards: no reason to lose the pictures
                self.damaged = True

    def _next(self) -> Any:
        try:
            # The empty packet at the end of each stream only flushes decoders.
            for packet in self.packets:
                if packet.dts is None or not packet.size:
                    continue
                time = packet.dts * packet.time_base - self.start
                if self.part.end is not None and time > self.part.end + 1:  # beyond the end in every stream
                    return None
                if (not self.part.start or time >= self.part.start) and (self.part.end is None or time < self.part.end):
                    return packet
        except FFmpegError:
            self.damaged = True
        return None

    def close(self) -> None:
        """Close the source."""
        self.source.close()
