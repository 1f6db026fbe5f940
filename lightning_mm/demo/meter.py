"""How far it moves before and after magnification: in a region, or at the points where the clip vibrates most."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_mm.demo.loading import Loaded
from lightning_mm.errors import InputError
from lightning_mm.measuring.comparing import compared
from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.grid import GridTracker
from lightning_mm.measuring.motion import LEAST_FRAMES, Motion, MotionTracker
from lightning_mm.measuring.scale import Scale
from lightning_mm.video.colour import Frame
from lightning_mm.video.regions import Region


class _Tracker(Protocol):
    def add(self, frame: Frame) -> None: ...

    def motion(self, fps: float) -> Motion: ...


class Meter:
    """Gathers motion from frames before and after, one after the other.

    Args:
        loaded: The clip.
        rate: Its true frame rate in Hz.
        region: The region to measure; the points when left out.
        points: (N, 2) as (x, y) px.
    """

    def __init__(self, loaded: Loaded, rate: float, region: Region | None, points: NDArray[np.float64]) -> None:
        self._loaded, self._rate, self._region, self._points = loaded, rate, region, points
        self._trackers: list[_Tracker] = []
        self._failure = "" if region is not None or len(points) else "nothing in it can be followed"

    def add(self, before: Frame, after: Frame) -> None:
        """Take the next frame and its magnified one, (H, W, 3) each."""
        if self._failure:
            return
        try:
            self._trackers = self._trackers or [self._tracker(frame) for frame in (before, after)]
            for tracker, frame in zip(self._trackers, (before, after), strict=True):
                tracker.add(frame)
        except InputError as error:
            self._failure = str(error)

    def findings(self) -> tuple[Findings | None, list[str]]:
        """What was measured, for figures, and what to say about it."""
        loaded, rate = self._loaded, self._rate
        failure = self._failure
        if not failure and loaded.frames < LEAST_FRAMES:
            failure = f"it takes {LEAST_FRAMES} frames"
        if not failure:
            before, after = (tracker.motion(rate) for tracker in self._trackers)
            try:
                c = compared(before, after)
            except InputError as error:
                failure = str(error)
            else:
                place = self._region or (0, 0, loaded.clip.width, loaded.clip.height)
                found = Findings(
                    loaded.name, loaded.first, loaded.frames, rate, place, Scale(), before, None, after, c
                )  # fmt: skip
                sizes = f"{Scale().text(c.before)} before, {Scale().text(c.after)} after"
                return found, [f"at {c.frequency:.3g} Hz {self._where}: {sizes}, magnified {c.ratio:.1f} times"]
        return None, [f"displacement was not measured: {failure}"]

    @property
    def _where(self) -> str:
        if self._region is not None:
            left, top, width, height = self._region
            return f"in the region of {width} x {height} px at ({left}, {top})"
        x, y = np.median(self._points, axis=0)
        return f"around ({x:.0f}, {y:.0f}), where it vibrates most"

    def _tracker(self, frame: Frame) -> _Tracker:
        if self._region is not None:
            return MotionTracker(frame, self._region, self._loaded.name, gaps=True)
        return _Points(frame, self._points)


class _Points:
    """The median displacement of points."""

    def __init__(self, frame: Frame, points: NDArray[np.float64]) -> None:
        self._grid = GridTracker(frame, points)

    def add(self, frame: Frame) -> None:
        self._grid.add(frame)

    def motion(self, fps: float) -> Motion:
        moved = self._grid.motion(fps).displacement
        found = [frame[np.isfinite(frame).all(axis=1)] for frame in moved]
        median = [np.median(frame, axis=0) if len(frame) else np.full(2, np.nan) for frame in found]
        return Motion(np.array(median), np.array([len(frame) for frame in found]), fps)
