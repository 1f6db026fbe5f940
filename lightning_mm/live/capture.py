"""The newest frame of a source, read in a thread: who is slower than frames come misses some, but never lags."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Frame

_PATIENCE = 12.0
"""Seconds that a source may take to let go of its thread; a stream over the network gives up after ten."""


@dataclass(frozen=True)
class Captured:
    """A frame and when it was there.

    Attributes:
        frame: RGB (H, W, 3), uint8 or uint16.
        index: Number of the frame, of all that the source gave.
        turn: How often a file had been played before.
        time: Seconds on the scene's clock, between frames: a file's frames are 1 / true frame rate apart, a camera's as
            far apart as they arrived.
        arrived: ``time.monotonic()`` when it was read.
    """

    frame: Frame
    index: int
    turn: int
    time: float
    arrived: float


class Newest:
    """Reads a clip in a thread and keeps its newest frame only. A context manager.

    A file is played at its own rate, as if a camera gave its frames; where it cannot be read so fast, slower.

    Args:
        clip: The source.
        fps: True frame rate of a file in Hz.
        loop: Whether a file starts again at its end.
    """

    def __init__(self, clip: Clip, fps: float, loop: bool = False) -> None:
        self._clip, self._fps, self._loop = clip, fps, loop
        self._ready = threading.Condition()
        self._newest: Captured | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="capture", daemon=True)

    def __enter__(self) -> Self:
        """Start to read."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        self._stopped.set()
        self._clip.stop()
        self._thread.join(_PATIENCE)

    @property
    def ended(self) -> bool:
        """Whether no frame is left to be taken and none will come."""
        with self._ready:
            return self._ended and self._newest is None

    def take(self, least: int = 0, timeout: float = 0.1) -> Captured | None:
        """The newest frame, once there is one that has not been taken.

        Args:
            least: Wait for a frame of this number or a later one.
            timeout: Seconds to wait at most.

        Returns:
            The frame, or ``None`` when there is none in time.

        Raises:
            InputError: The source failed.
        """
        with self._ready:
            self._ready.wait_for(lambda: self._ended or self._due(least), timeout)
            if self._error is not None:
                raise self._error
            if not self._due(least):
                if self._ended:
                    self._newest = None  # too early to be wanted, and nothing comes behind it
                return None
            taken, self._newest = self._newest, None
            return taken

    def _due(self, least: int) -> bool:
        return self._newest is not None and self._newest.index >= least

    def _work(self) -> None:
        try:
            for captured in self._captured():
                with self._ready:
                    self._newest = captured
                    self._ready.notify_all()
        except BaseException as error:  # raised where frames are taken
            self._error = error
        with self._ready:
            self._ended = True
            self._ready.notify_all()

    def _captured(self) -> Iterator[Captured]:
        numbers = count()
        interval = 1.0 / float(self._clip.fps)
        for turn in count():
            due: float | None = None
            with closing(iter(self._clip)) as frames:
                for frame in frames:
                    now = time.monotonic()
                    if not self._clip.live:
                        due = now if due is None else due + interval
                        if now > due + interval:
                            due = now
                        if self._stopped.wait(max(0.0, due - now)):
                            return
                        now = max(due, now)
                    elif self._stopped.is_set():
                        return
                    index = next(numbers)
                    yield Captured(frame, index, turn, now if self._clip.live else index / self._fps, now)
            if not self._loop or due is None:
                return
