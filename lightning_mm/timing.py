"""Timing: a clock that waits for the device, calls enough to be measurable, medians and quartiles."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

MIN_SECONDS = 0.1
MAX_CALLS = 50


def device_seconds() -> float:
    """A clock for what work on this machine's device costs; differences count.

    With a GPU it is the time that passes; without one, the processor's seconds of this process over all threads, which
    other programs on the machine do not lengthen.
    """
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


@dataclass(frozen=True)
class Summary:
    """Median and quartiles of repeats.

    Attributes:
        median: Median.
        lower: First quartile.
        upper: Third quartile.
        raw: All repeats, in order.
    """

    median: float
    lower: float
    upper: float
    raw: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarise at least one value; quartiles are interpolated linearly."""
        lower, median, upper = (float(q) for q in np.percentile(np.asarray(values, np.float64), (25, 50, 75)))
        return cls(median, lower, upper, tuple(float(value) for value in values))


def clock(device: torch.device) -> float:
    """Seconds on a monotonic clock, once the device has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def calls_to_measure(seconds: float) -> int:
    """Number of calls of ``seconds`` each that last ``MIN_SECONDS`` together, at most ``MAX_CALLS``."""
    return max(1, math.ceil(MIN_SECONDS / max(seconds, MIN_SECONDS / MAX_CALLS)))


class Timed:
    """A piece of work that is timed again and again.

    Args:
        work: Does the work once.
        device: The device that it runs on.
    """

    def __init__(self, work: Callable[[], object], device: torch.device) -> None:
        self.work, self.device = work, device
        self.calls = 0

    def seconds(self) -> float:
        """Seconds per call, over enough calls in a row; the first time, after two that do not count."""
        if not self.calls:
            self.work()
            self.calls = calls_to_measure(self._measure(1))
        return self._measure(self.calls)

    def _measure(self, calls: int) -> float:
        start = clock(self.device)
        for _ in range(calls):
            self.work()
        return (clock(self.device) - start) / calls
