"""What is counted while a source is shown."""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

_RECENT, _KEPT = 100, 5000


@dataclass(frozen=True)
class Latency:
    """Milliseconds from reading a frame to its picture being sent to a browser, or being ready where nobody looks.

    What passes before a frame is read, in the camera and its driver, and after it is sent, in the browser, is not in
    it.

    Attributes:
        median: Median.
        p95: 95th percentile.
    """

    median: float
    p95: float


class Counters:
    """Counts frames and gathers latencies; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=_KEPT)
        self._sent = 0
        self.read = self.shown = self.dropped = 0

    def count(self, missed: int) -> None:
        """Count a frame that is shown, and those of the source before it that were not."""
        with self._lock:
            self.read += missed + 1
            self.dropped += missed
            self.shown += 1

    def sent(self, number: int, seconds: float) -> None:
        """Note how long a picture took; of one that goes to several browsers, the first one counts."""
        with self._lock:
            if number > self._sent:
                self._sent = number
                self._latencies.append(1e3 * seconds)

    def latency(self, recent: bool = True) -> Latency | None:
        """Of the last 100 pictures, or of as many as are kept (5000); ``None`` before the first."""
        with self._lock:
            values = list(self._latencies)[-_RECENT if recent else 0 :]
        if not values:
            return None
        middle, high = np.quantile(values, (0.5, 0.95))
        return Latency(float(middle), float(high))
