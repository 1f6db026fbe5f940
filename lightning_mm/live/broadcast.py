"""The newest picture as JPEG, for however many browsers look at it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from lightning_mm.video.colour import Frame
from lightning_mm.video.pixels import as_depth

QUALITY = 88
MOST_VIEWERS = 8


@dataclass(frozen=True)
class Picture:
    """What is shown.

    Attributes:
        number: Counted from 1.
        jpeg: The file's content.
        arrived: ``time.monotonic()`` when its frame was read.
    """

    number: int
    jpeg: bytes
    arrived: float


class Broadcast:
    """Hands the newest picture to everybody who waits for one; older pictures are dropped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: Picture | None = None
        self._closed = False
        self._viewers = 0

    def publish(self, jpeg: bytes, arrived: float) -> int:
        """Show a picture and give its number; arguments as of ``Picture``."""
        with self._changed:
            self._newest = Picture(self._newest.number + 1 if self._newest else 1, jpeg, arrived)
            self._changed.notify_all()
            return self._newest.number

    @contextmanager
    def viewer(self) -> Iterator[bool]:
        """A place among the viewers; gives False where all are taken."""
        with self._changed:
            free = self._viewers < MOST_VIEWERS
            self._viewers += free
        try:
            yield free
        finally:
            with self._changed:
                self._viewers -= free

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return self._viewers > 0

    def close(self) -> None:
        """End all waiting, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more will be shown."""
        return self._closed

    def newer(self, number: int, timeout: float) -> Picture | None:
        """The newest picture, as soon as there is one with a larger number; ``None`` when there is none in time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (self._newest is not None and self._newest.number > number), timeout
            )
            newest = self._newest
        return None if self._closed or newest is None or newest.number <= number else newest


def jpeg(frame: Frame, quality: int = QUALITY) -> bytes:
    """A frame, uint8 or uint16 RGB (H, W, 3), as JPEG of 8 bits."""
    content = io.BytesIO()
    Image.fromarray(as_depth(frame, 8)).save(content, "JPEG", quality=quality)
    return content.getvalue()
