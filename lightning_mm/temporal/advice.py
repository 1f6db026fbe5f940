"""What a user should know about a filter that is allowed but may not do what was meant."""

from lightning_mm.temporal.design import Design
from lightning_mm.temporal.spec import resolving_taps

_LEAK = 0.1
"""Gain a band's width outside from which a window counts as too short; a long enough one has less than 0.01."""
_WIDE = 30.0
"""Ratio of the edges from which a band passes nearly everything slow; the baby sequence's is 100, others' below 2."""
_BROAD = 3.0
"""So many times as wide as the band asked for is too wide."""

_OPPOSED = 90.0
"""Degrees from which what is added to motion lessens it."""


def advice(design: Design, frames: int | None = None) -> list[str]:
    """Warnings, one line each; none for a filter that does what its band says.

    Args:
        design: The filter.
        frames: Length of the clip where it is known.
    """
    return [*_short_window(design, frames), *_opposed(design), *_slow(design, frames), *_broad(design)]


def _short_window(design: Design, frames: int | None) -> list[str]:
    spec = design.spec
    if spec.kind != "fir":
        return []
    beside = [spec.low - min(spec.width, spec.low), spec.high + spec.width]
    leaks = [(design.gain(f), f) for f in beside if f < design.fps / 2.0]
    leaks = [f"{gain:.2f} at {f:g} Hz" for gain, f in leaks if gain > _LEAK]
    if not leaks:
        return []
    needed = resolving_taps(spec.low, spec.high, design.fps)
    line = (
        f"a window of {design.taps} frames is too short for {spec.low:g} to {spec.high:g} Hz at {design.fps:g} frames "
        f"per second: gain {' and '.join(leaks)}; about {needed} are needed"
    )
    if frames is not None and needed > frames:
        line += f", more than the clip's {frames}: choose a wider band, or a longer clip"
    return [line]


def _opposed(design: Design) -> list[str]:
    spec = design.spec
    phase = design.phase(spec.centre)
    if spec.kind != "fir" or spec.zero_phase or abs(phase) <= _OPPOSED:
        return []
    other = "a longer clip" if spec.taps is None else "leave --taps out"
    return [
        f"the window's delay turns motion at {spec.centre:g} Hz by {round(phase)} degrees, so that what is added "
        f"opposes it; use --zero_phase true, or {other}"
    ]


def _slow(design: Design, frames: int | None) -> list[str]:
    spec = design.spec
    if spec.high >= _WIDE * spec.low:
        return [
            f"{spec.low:g} to {spec.high:g} Hz passes nearly all motion slower than {spec.high:g} Hz, drift included; "
            "raise the lower edge if the scene or the camera drifts"
        ]
    if frames is None:
        return []
    seconds = frames / design.fps
    if seconds * spec.low < 1.0:
        return [
            f"the clip of {seconds:.3g} s is shorter than one period of {spec.low:g} Hz ({1.0 / spec.low:.3g} s): "
            "drift can't be told from motion in the band"
        ]
    if spec.kind != "fir" and design.settling > frames:
        return [
            f"the filter settles in {design.settling / design.fps:.3g} s, the clip lasts {seconds:.3g} s: "
            "gain and phase stay below what they are designed for; choose a wider band"
        ]
    return []


def _broad(design: Design) -> list[str]:
    if design.spec.kind != "iir":
        return []
    low, high = design.edges()
    if high - low <= _BROAD * design.spec.width:
        return []
    return [
        f"--filter iir can't be narrower than two and a half octaves: it passes {low:.3g} to {high:.3g} Hz (-3 dB); "
        "use --filter butterworth or fir"
    ]
