"""Recording what is shown: uneven arrivals to a video of a constant rate."""

import queue
import threading
from fractions import Fraction
from pathlib import Path

from lightning_mm.video.clip import exact_rate
from lightning_mm.video.colour import Frame
from lightning_mm.video.writer import ClipWriter

_DEPTH = 8
_LONGEST_GAP = 1.0
"""Seconds without a frame, as in a pause, that are left out instead of being shown as a still picture."""


class Recorder:
    """Writes pictures to a clip in a thread of its own, which is there under its name once ``finish`` has returned.

    A picture stays for as long as it was shown: it is repeated in the clip until the next one's time, and left out
    where the next one has the same time.

    Args:
        output: As of ``ClipWriter``.
        overwrite: Whether an existing output may be replaced.
    """

    def __init__(self, output: Path, overwrite: bool = False) -> None:
        self.output, self._overwrite = Path(output), overwrite
        self.frames = 0
        self.fps: Fraction | None = None
        self._began, self._last_time = 0.0, 0.0
        self._last: Frame | None = None
        self._waiting: queue.Queue[Frame | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._warnings: list[str] = []
        self._thread: threading.Thread | None = None

    def begin(self, fps: float) -> None:
        """Fix the rate of the clip in frames per second."""
        self.fps = exact_rate(round(fps, 2))

    def add(self, frame: Frame, arrived: float) -> None:
        """Record a picture, RGB (H, W, 3), from its time of arrival in seconds on.

        Raises:
            InputError: The clip cannot be written.
        """
        assert self.fps is not None, "add() before begin()"
        if self._thread is None:
            height, width = frame.shape[:2]
            self._thread = threading.Thread(target=self._work, args=(width, height), name="recording", daemon=True)
            self._thread.start()
            self._began = arrived
        elif arrived - self._last_time > _LONGEST_GAP:
            self._began += arrived - self._last_time - 1.0 / float(self.fps)
        self._last_time = arrived
        due = round((arrived - self._began) * float(self.fps))
        while self._last is not None and self.frames < due:
            self._hand_on(self._last)
        if self.frames == due:
            self._hand_on(frame)
        self._last = frame

    def finish(self) -> list[str]:
        """Close the clip.

        Returns:
            Warnings, one line each.

        Raises:
            InputError: The clip could not be written.
        """
        if self._thread is None:
            return [f"{self.output}: not written, nothing was magnified for long enough to tell its frame rate"]
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._warnings

    def _hand_on(self, frame: Frame) -> None:
        if self._error is not None:
            raise self._error
        self._waiting.put(frame)
        self.frames += 1

    def _work(self, width: int, height: int) -> None:
        assert self.fps is not None
        more = True
        try:
            with ClipWriter(self.output, width, height, self.fps, overwrite=self._overwrite) as writer:
                while more:
                    frame = self._waiting.get()
                    if more := frame is not None:
                        writer.write(frame)
            self._warnings = writer.warnings
        except BaseException as error:  # raised by who records
            self._error = error
            while more:  # nobody may wait for a place in the queue
                more = self._waiting.get() is not None
