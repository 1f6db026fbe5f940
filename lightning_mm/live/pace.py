"""How fast and how regularly frames are taken from a source: what a temporal filter must be designed for."""

import math
from collections import deque
from itertools import pairwise
from statistics import median
from typing import NamedTuple

WINDOW = 3.0
"""Seconds of the recent past that count."""
LEAST_SECONDS, LEAST_FRAMES = 1.0, 8
SETTLED_SECONDS = 2.5
"""Seconds to be measured before what was fitted to a rate is fitted anew: a hiccup is no change."""
_MOST_FRAMES = 1000

_SPARE = 1.05
"""Time per frame may be so many times what was measured."""
_EASE = 1.5
"""A smaller step must have so much time to spare that it is not taken back at once."""


class _Taken(NamedTuple):
    number: int
    time: float
    arrived: float
    busy: float


class Pace:
    """Gathers which frames were taken and what each cost.

    Where a machine is too slow for every frame of a source, taking the newest whenever it is ready gives uneven gaps,
    such as 1, 2, 1, 2 frames, which a temporal filter takes for motion. Every ``step``-th frame is even.
    """

    def __init__(self) -> None:
        self._taken: deque[_Taken] = deque(maxlen=_MOST_FRAMES)

    def restart(self) -> None:
        """Forget everything, after a pause or a jump."""
        self._taken.clear()

    def add(self, index: int, time: float, arrived: float, busy: float) -> None:
        """Count a frame.

        Args:
            index: Its number, of all that the source gave.
            time: Seconds on the scene's clock.
            arrived: Seconds on the machine's clock.
            busy: Seconds that it took to magnify and encode.
        """
        taken = self._taken
        taken.append(_Taken(index, time, arrived, busy))
        while len(taken) > LEAST_FRAMES and taken[-1].arrived - taken[0].arrived > WINDOW:
            taken.popleft()

    def measured(self, seconds: float = LEAST_SECONDS) -> bool:
        """Whether frames of so many seconds were gathered, and enough of them."""
        return len(self._taken) >= LEAST_FRAMES and self._span("arrived") >= seconds

    @property
    def rate(self) -> float:
        """Frames taken per second of the scene; 0 before there are two."""
        span = self._span("time")
        return (len(self._taken) - 1) / span if span > 0.0 else 0.0

    @property
    def source_rate(self) -> float:
        """Frames that the source gives per second of the scene; 0 before there are two."""
        span = self._span("time")
        return self._span("number") / span if span > 0.0 else 0.0

    @property
    def shown(self) -> float:
        """Frames taken per second of the machine's clock; 0 before there are two."""
        span = self._span("arrived")
        return (len(self._taken) - 1) / span if span > 0.0 else 0.0

    @property
    def offered(self) -> float:
        """Frames that the source gives per second of the machine's clock; 0 before there are two."""
        span = self._span("arrived")
        return self._span("number") / span if span > 0.0 else 0.0

    def uneven(self, step: int) -> float:
        """Share of gaps that are not ``step`` frames of the source."""
        gaps = [b.number - a.number for a, b in pairwise(self._taken)]
        return sum(gap != step for gap in gaps) / len(gaps) if gaps else 0.0

    def fitting_step(self, now: int | None = None) -> int:
        """Every how many frames of the source can be kept up with.

        Args:
            now: The step in use, which a smaller one must beat clearly.
        """
        if self.offered <= 0.0:
            return now or 1
        load = median(taken.busy for taken in self._taken) * self.offered
        needed = max(1, math.ceil(load * _SPARE))
        if now is None or needed >= now:
            return needed
        return min(now, max(1, math.ceil(load * _EASE)))

    def _span(self, name: str) -> float:
        return getattr(self._taken[-1], name) - getattr(self._taken[0], name) if self._taken else 0.0
