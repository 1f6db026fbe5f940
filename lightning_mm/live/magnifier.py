"""Magnifying a source whose rate is not known beforehand and may change."""

from dataclasses import dataclass

from lightning_mm.errors import InputError
from lightning_mm.live.pace import LEAST_SECONDS, SETTLED_SECONDS, Pace
from lightning_mm.magnification.engine import Engine, Motion, Static
from lightning_mm.magnification.motions import Plan
from lightning_mm.method import Method
from lightning_mm.temporal import Design
from lightning_mm.video.colour import Frame

DRIFT = 0.1
"""Relative change of the rate from which a filter's band is no longer where it should be."""
_UNEVEN = 0.25
"""Share of uneven gaps from which frames are taken in larger steps."""


@dataclass(frozen=True)
class Tuning:
    """What holds in temporal mode.

    Attributes:
        rate: Frames per second of the scene that the filter was designed for, or for which none could be.
        design: The filter; ``None`` where the band does not go with the rate.
        lines: What the filter is and does.
        warnings: What should be known about it, one line each.
        count: How many tunings there were, this one included.
    """

    rate: float
    design: Design | None
    lines: tuple[str, ...]
    warnings: tuple[str, ...]
    count: int


class LiveMagnifier:
    """Magnifies frame by frame; in temporal mode, from when the rate has been measured on.

    Until then, and where the rate is too low for the band, frames pass through the method unmagnified.

    Args:
        method: How motion is represented and amplified.
        plan: What to amplify, and by how much.
        device: Where the method computes.

    Attributes:
        step: Every how many frames of the source are to be taken; in static mode any will do.
        tuning: What holds in temporal mode, once the rate has been measured.
    """

    def __init__(self, method: Method, plan: Plan, device: str) -> None:
        self._plan, self._method = plan, method
        self._alpha = plan.alpha
        self._engine = Engine(method, Static(), 1.0, device)
        self.step = 1
        self.tuning: Tuning | None = None
        self.restart()

    @property
    def alpha(self) -> float:
        """Total motion factor; may be set between frames."""
        return self._alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        self._alpha = value
        if self.magnifies:
            self._engine.alpha = value

    @property
    def magnifies(self) -> bool:
        """Whether frames are magnified."""
        return self._plan.mode != "temporal" or (self.tuning is not None and self.tuning.design is not None)

    @property
    def even(self) -> bool:
        """Whether frames must be evenly spaced."""
        return self._plan.mode != "static"

    def __call__(self, frame: Frame) -> Frame:
        """Magnify the next frame, RGB (H, W, 3)."""
        (magnified,) = self._engine.push([frame])
        return magnified

    def restart(self) -> None:
        """Begin anew: the next frame is the reference, the filter at rest there."""
        self._engine.motion = self._motion()
        self._engine.alpha = self._alpha if self.magnifies else 1.0

    def tune(self, pace: Pace) -> bool:
        """Fit the step and the filter to what was measured, where they do not fit.

        Args:
            pace: Of the frames so far.

        Returns:
            Whether something was changed. Frames before are forgotten then, and ``pace`` has to be restarted.
        """
        first = self._plan.mode == "temporal" and self.tuning is None
        if not (self.even and pace.measured(LEAST_SECONDS if first else SETTLED_SECONDS)):
            return False
        step = pace.fitting_step(None if first else self.step)
        rate = pace.source_rate / step
        drifted = self.tuning is not None and abs(rate / self.tuning.rate - 1.0) > DRIFT
        if not first and step == self.step and not drifted:
            return False
        if not first and step > self.step and pace.uneven(self.step) <= _UNEVEN and not drifted:
            return False
        self.step = step
        if self._plan.mode == "temporal":
            self.tuning = self._tuned(rate)
        self.restart()
        return True

    def _tuned(self, rate: float) -> Tuning:
        count = self.tuning.count + 1 if self.tuning else 1
        try:
            made = self._plan.design(round(rate, 3), None)
            assert made is not None
            return Tuning(rate, made[0], tuple(made[0].describe()), tuple(made[1]), count)
        except InputError:
            spec = self._plan.spec
            assert spec is not None
            line = (
                f"nothing is magnified: {spec.low:g} to {spec.high:g} Hz needs more than {2.0 * spec.high:g} frames "
                f"per second, and {rate:.3g} are reached; try --weights tiny, a smaller --scale, or --roi"
            )
            return Tuning(rate, None, (), (line,), count)

    def _motion(self) -> Motion:
        if self._plan.mode != "temporal":
            return self._plan.motion(None)
        return Static() if self.tuning is None or self.tuning.design is None else self._plan.motion(self.tuning.design)
