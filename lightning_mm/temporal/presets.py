"""The paper's settings of each sequence (Tables A4 and A5)."""

from dataclasses import dataclass
from typing import Literal

from lightning_mm.errors import InputError
from lightning_mm.temporal.spec import FilterSpec


@dataclass(frozen=True)
class Preset:
    """The settings of a sequence.

    The paper's factors are taken as total motion factors, as everywhere here and in the training data: 20 makes motion
    20 times as large. By the letter of the paper's equation 1, where the factor is what is added to motion, it would be
    21 times.

    Attributes:
        name: The sequence, in lower case.
        alpha: Total motion factor.
        mode: What a frame's motion is measured from; "temporal" is filtered over time.
        fps: True frame rate in Hz; ``None`` where the paper has none, and none is needed.
        filter: In temporal mode.
    """

    name: str
    alpha: float
    mode: Literal["static", "dynamic", "temporal"]
    fps: float | None = None
    filter: FilterSpec | None = None


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("crane", 75.0, "temporal", 24.0, FilterSpec("fir", 0.2, 0.25)),
        Preset("drum", 10.0, "temporal", 1900.0, FilterSpec("fir", 74.0, 78.0)),
        Preset("guitar", 25.0, "temporal", 600.0, FilterSpec("fir", 72.0, 92.0)),
        Preset("wheel1", 20.0, "temporal", 120.0, FilterSpec("fir", 20.0, 30.0)),
        Preset("baby", 20.0, "temporal", 30.0, FilterSpec("butterworth", 0.01, 1.0)),
        Preset("baby_static", 20.0, "static"),
        Preset("ac2", 8.0, "static"),
        Preset("column", 7.0, "dynamic"),
        Preset("gun", 8.0, "dynamic"),
    )
}
"""By name: Table A4, then Table A5."""


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        InputError: There is none of this name.
    """
    if name not in PRESETS:
        raise InputError(f"--preset {name}: must be one of {', '.join(PRESETS)}")
    return PRESETS[name]
