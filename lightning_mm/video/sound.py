"""Carrying a clip's sound into its copy."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.error import ArgumentError, FFmpegError

from lightning_mm.video.clip import open_container


class Sound:
    """The audio packets of a file, copied in step with the frames so that neither has to wait in memory."""

    def __init__(self, path: Path) -> None:
        self.source = open_container(path)
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
        self.packets = self.source.demux(streams)

    def copy(self, container: Any, until: Fraction | None) -> None:
        """Copy the packets up to a time in seconds of the output; all of them for ``None``."""
        while (packet := self.waiting or self._next()) is not None:
            if until is not None and packet.dts * packet.time_base - self.start > until:
                self.waiting = packet
                return
            self.waiting = None
            shift = round(self.start / packet.time_base)
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
            return next((packet for packet in self.packets if packet.dts is not None and packet.size), None)
        except FFmpegError:
            self.damaged = True
            return None

    def close(self) -> None:
        """Close the source."""
        self.source.close()
