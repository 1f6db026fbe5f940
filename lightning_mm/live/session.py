"""One live view: frames from the source to the browsers, the controls and the status of the page."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightning_mm.live.broadcast import Broadcast, jpeg
from lightning_mm.live.capture import Captured, Newest
from lightning_mm.live.magnifier import LiveMagnifier
from lightning_mm.live.pace import Pace
from lightning_mm.live.recorder import Recorder
from lightning_mm.live.status import Counters
from lightning_mm.magnification.engine import Engine, Static
from lightning_mm.magnification.motions import Plan
from lightning_mm.magnification.selection import Selection
from lightning_mm.method import Method
from lightning_mm.video.clip import Clip

MOST_ALPHA = 1000.0

_PAUSED = 0.05


@dataclass
class Controls:
    """What the page may change; read by the session between frames.

    Attributes:
        alpha: Total motion factor.
        paused: Whether the picture holds still.
        reference: Set to make the next frame the reference.
    """

    alpha: float
    paused: bool = False
    reference: threading.Event = field(default_factory=threading.Event)


class Session:
    """Magnifies a source until it ends or is told to stop.

    Args:
        clip: The source.
        fps: True frame rate of a file in Hz.
        method: How motion is represented and amplified.
        plan: What to amplify, and by how much.
        selection: Where.
        device: Where the method computes.
        side_by_side: Show the source to the left of what is magnified.
        loop: Whether a file starts again at its end.
        recorder: Where to record what is shown.
        warnings: What should be known from the start, one line each.
        say: Called with a line whenever a temporal filter was fitted to the rate.

    Attributes:
        plan: As given.
        warnings: As given, and what came to be known since.
        controls: What the page may change.
        counters: What was counted.
        broadcast: Where the pictures go.
        seconds: How long it has shown them, pauses not counted.
    """

    def __init__(
        self,
        clip: Clip,
        fps: float,
        method: Method,
        plan: Plan,
        selection: Selection,
        device: str = "cpu",
        side_by_side: bool = False,
        loop: bool = False,
        recorder: Recorder | None = None,
        warnings: Sequence[str] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._clip, self._fps, self._method, self._selection = clip, fps, method, selection
        self._device, self._side_by_side, self._loop = device, side_by_side, loop
        self._recorder, self._say = recorder, say
        self.plan, self.warnings = plan, list(warnings)
        self.controls = Controls(plan.alpha)
        self.counters, self.broadcast = Counters(), Broadcast()
        self._magnifier = LiveMagnifier(method, plan, device)
        self._pace = Pace()
        self._state = "starting"
        self._figures = self._measured()
        self.seconds = 0.0

    def run(self, stop: threading.Event, duration: float | None = None) -> None:
        """Show the source until it ends, ``stop`` is set or so many seconds have passed.

        Raises:
            InputError: The source failed, or the recording cannot be written.
        """
        try:
            self._rehearse()
            end = None if duration is None else time.monotonic() + duration
            with Newest(self._clip, self._fps, self._loop) as newest:
                self._show(newest, stop, end)
        finally:
            self._state = "ended"
            self.broadcast.close()
            if self._recorder is not None:
                self.warnings += self._recorder.finish()

    @property
    def recorded(self) -> Path | None:
        """The clip that was recorded."""
        return self._recorder.output if self._recorder is not None and self._recorder.frames else None

    def status(self) -> dict[str, Any]:
        """What the page shows, as plain JSON."""
        latency, tuning, spec = self.counters.latency(), self._magnifier.tuning, self.plan.spec
        lines = [*self.warnings, *(tuning.warnings if tuning else ())]
        return {
            "source": self._clip.name,
            "state": self._state,
            "mode": self.plan.mode,
            "alpha": self.controls.alpha,
            "paused": self.controls.paused,
            "magnifies": self._magnifier.magnifies,
            "step": self._magnifier.step,
            **self._figures,
            "read": self.counters.read,
            "shown": self.counters.shown,
            "dropped": self.counters.dropped,
            "latency_ms": None if latency is None else {"median": latency.median, "p95": latency.p95},
            "band_hz": None if spec is None else [spec.low, spec.high],
            "rate_hz": None if tuning is None else round(tuning.rate, 3),
            "filter": list(tuning.lines) if tuning is not None else [],
            "tunings": tuning.count if tuning is not None else 0,
            "warnings": lines,
        }

    def _rehearse(self) -> None:
        """Run the method once before anything counts: what is compiled is compiled then."""
        black = np.zeros((self._clip.height, self._clip.width, 3), np.uint16 if self._clip.depth > 8 else np.uint8)
        Engine(self._method, Static(), self.plan.alpha, self._device).push([self._selection.cut(black)])

    def _show(self, newest: Newest, stop: threading.Event, end: float | None) -> None:
        self._state = "running"
        last: Captured | None = None
        while not (stop.is_set() or newest.ended or (end is not None and time.monotonic() >= end)):
            if self.controls.paused:
                self._state = "paused"
                stop.wait(_PAUSED)
                continue
            if self._state == "paused":  # what was remembered is no longer of the frame before
                self._state, last = "running", None
                self._pace.restart()
                if self._magnifier.even:
                    self._magnifier.restart()
            step = self._magnifier.step if self._magnifier.even else 1
            captured = newest.take(0 if last is None else last.index + step)
            if captured is not None:
                self._one(captured, last)
                self.seconds += 0.0 if last is None else captured.arrived - last.arrived
                last = captured

    def _one(self, captured: Captured, last: Captured | None) -> None:
        """Magnify and show a frame."""
        began = time.monotonic()
        if self.controls.reference.is_set() or (last is not None and captured.turn != last.turn):
            self.controls.reference.clear()
            self._magnifier.restart()
        self._magnifier.alpha = self.controls.alpha
        before = captured.frame
        after = self._selection.put(before, self._magnifier(self._selection.cut(before)))
        shown = np.concatenate((before, after), axis=1) if self._side_by_side else after
        self.counters.count(0 if last is None else captured.index - last.index - 1)
        number = self.broadcast.publish(jpeg(shown), captured.arrived)
        now = time.monotonic()
        if not self.broadcast.watched:
            self.counters.sent(number, now - captured.arrived)
        self._pace.add(captured.index, captured.time, captured.arrived, now - began)
        self._figures = self._measured()
        self._fit()
        if self._recorder is not None and self._recorder.fps is not None:
            self._recorder.add(shown, captured.arrived)

    def _measured(self) -> dict[str, float | None]:
        """Of the last seconds: pictures per second, frames per second of the scene, share of uneven gaps."""
        uneven = self._pace.uneven(self._magnifier.step) if self._magnifier.even else None
        return {
            "fps": round(self._pace.shown, 2),
            "measured_hz": round(self._pace.rate, 3),
            "uneven": None if uneven is None else round(uneven, 3),
        }

    def _fit(self) -> None:
        """Fit the filter, the step and the recording to the rate, once that is known and whenever it has changed."""
        shown = self._pace.shown if self._pace.measured() else 0.0
        if self._magnifier.tune(self._pace):
            shown = self._pace.offered / self._magnifier.step
            self._pace.restart()
            tuning = self._magnifier.tuning
            if tuning is not None:
                self._say(tuning.lines[0] if tuning.design is not None else f"warning: {tuning.warnings[0]}")
        if self._recorder is not None and self._recorder.fps is None and shown and self._magnifier.magnifies:
            self._recorder.begin(shown)
