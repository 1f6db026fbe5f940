"""What motion is measured from, made from what a command was told: modes, filters, presets."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from torch import Tensor

from lightning_mm.errors import InputError
from lightning_mm.magnification.engine import Dynamic, Motion, Static, Temporal
from lightning_mm.temporal import Design, FilterSpec, advice, design, parse_band, preset, streaming
from lightning_mm.temporal.spec import Kind

Mode = Literal["static", "dynamic", "temporal"]

ALPHA = 10.0

MAX_ALPHA = 10_000.0


@dataclass(frozen=True)
class Plan:
    """What to amplify, and by how much.

    Attributes:
        alpha: Total motion factor.
        mode: "static", "dynamic" or "temporal".
        reference: Number of the reference frame, in static mode.
        spec: The filter, in temporal mode.
        fps: True frame rate in Hz that a preset brings along.
    """

    alpha: float
    mode: Mode
    reference: int = 0
    spec: FilterSpec | None = None
    fps: float | None = None

    def design(self, fps: float, frames: int | None) -> tuple[Design, list[str]] | None:
        """The filter for a clip and what should be known about it; ``None`` in other modes.

        Raises:
            InputError: The clip cannot be filtered so, such as a band above half of its frame rate.
        """
        if self.spec is None:
            return None
        made = design(self.spec, fps, frames)
        return made, advice(made, frames)

    def motion(self, made: Design | None, reference: Tensor | None = None) -> Motion:
        """A new motion source.

        Args:
            made: The filter of temporal mode.
            reference: The reference frame of static mode, where it is not the first.
        """
        if made is not None:
            return Temporal(streaming(made))
        return Dynamic() if self.mode == "dynamic" else Static(reference)

    def describe(self) -> str:
        """For a printed line: "alpha = 10 against frame 0"."""
        if self.spec is not None:
            zero = ", zero phase" if self.spec.zero_phase else ""
            return f"alpha = {self.alpha:g} within {self.spec.low:g} to {self.spec.high:g} Hz ({self.spec.kind}{zero})"
        against = f"frame {self.reference}" if self.mode == "static" else "the frame before"
        return f"alpha = {self.alpha:g} against {against}"


def make_plan(
    alpha: float | None = None,
    mode: Mode | None = None,
    reference: int = 0,
    filter: Kind | None = None,
    band: str | None = None,
    taps: int | None = None,
    order: int | None = None,
    zero_phase: bool = False,
    preset_name: str | None = None,
    inverse: bool = False,
) -> Plan:
    """Put options together; what is given wins over the preset.

    Args:
        alpha: Total motion factor; ``ALPHA`` when left out.
        mode: "static" when left out, "temporal" if a band is given.
        reference: Number of the reference frame.
        filter: Kind of temporal filter; FIR when left out.
        band: "LOW,HIGH" in Hz.
        taps: Length of a FIR in frames.
        order: Order of a Butterworth filter.
        zero_phase: Whether a FIR's delay is taken off.
        preset_name: Name of one of the paper's settings.
        inverse: Whether alpha may be negative.

    Raises:
        InputError: Unknown, out of range, or options that do not go together.
    """
    known = None if preset_name is None else preset(preset_name)
    alpha = alpha if alpha is not None else known.alpha if known else ALPHA
    if not abs(alpha) <= MAX_ALPHA:
        raise InputError(f"alpha = {alpha:g}: must be a number from 0 to {MAX_ALPHA:g}")
    if alpha < 0 and not inverse:
        raise InputError(f"alpha = {alpha:g}: must be >= 0; motion is turned around by '--inverse true' only")
    filtering = {"filter": filter, "band": band, "taps": taps, "order": order, "zero_phase": zero_phase or None}
    given = {name: value for name, value in filtering.items() if value is not None}
    chosen = mode or ("temporal" if given else known.mode if known else "static")
    if chosen not in get_args(Mode):
        raise InputError(f"mode = '{chosen}': must be one of {', '.join(get_args(Mode))}")
    if chosen != "temporal" and given:
        name, value = next(iter(given.items()))
        raise InputError(f"{name} = {value}: has a meaning in temporal mode only, here mode = {chosen}")
    if reference < 0:
        raise InputError(f"reference = {reference}: must be the number of a frame, counted from 0")
    if reference > 0 and chosen != "static":
        raise InputError(f"reference = {reference}: has a meaning in static mode only, here mode = {chosen}")
    spec = None
    if chosen == "temporal":
        base = known.filter if known else None
        if band is None and base is None:
            raise InputError("mode = temporal: needs '--band LOW,HIGH' in Hz; 'measure --suggest_band true' finds one")
        low, high = parse_band(band) if band is not None else (base.low, base.high)  # type: ignore[union-attr]
        spec = FilterSpec(filter or (base.kind if base else "fir"), low, high)
        changes = {name: given[name] for name in ("taps", "order", "zero_phase") if name in given}
        spec = replace(spec, **changes)  # type: ignore[arg-type]
    return Plan(alpha, chosen, reference, spec, known.fps if known else None)
