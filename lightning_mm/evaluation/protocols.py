"""All protocols by name, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lightning_mm.evaluation import (
    copying,
    footage,
    impulse,
    linearity,
    modes,
    noise,
    pairs,
    stored,
    subpixel,
    vibration,
)
from lightning_mm.evaluation.protocol import Bench, Options, Record

ProtocolName = Literal[
    "pairs", "subpixel", "noise", "linearity", "modes", "vibration", "impulse", "copying", "footage", "stored"
]


@dataclass(frozen=True)
class Protocol:
    """One way of judging methods.

    Attributes:
        run: What it does.
        tracks: Whether it measures motion, for which it needs OpenCV.
        option: The option without which it has nothing to judge; such a protocol runs by default where that is given.
        check: Refuses what that option names, before anything runs.
        default: Whether it runs where no protocols are named.
    """

    run: Callable[[Bench], Record]
    tracks: bool = False
    option: str | None = None
    check: Callable[[Options], None] | None = None
    default: bool = True


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "pairs": Protocol(pairs.run),
    "subpixel": Protocol(subpixel.run),
    "noise": Protocol(noise.run),
    "linearity": Protocol(linearity.run, tracks=True),
    "modes": Protocol(modes.run, tracks=True, default=False),
    "vibration": Protocol(vibration.run, tracks=True),
    "impulse": Protocol(impulse.run),
    "copying": Protocol(copying.run),
    "footage": Protocol(footage.run, tracks=True, option="footage", check=footage.check),
    "stored": Protocol(stored.run, option="stored", check=stored.check),
}
