"""Latency of a magnifier on the device it lies on: milliseconds per frame of video in the steady state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_mm.models import Magnifier
from lightning_mm.timing import Summary, Timed

REPEATS = 5
ALPHA = 10.0
"""Total motion factor of all measurements of speed, which does not change it."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds per frame: one encoder pass, one manipulator, one decoder, as in a video (the paper's Section 4.1).

    Attributes:
        ms: Median over ``REPEATS`` repeats.
        lower_ms: First quartile.
        upper_ms: Third quartile.
        height: Height of the frames.
        width: Width of the frames.
    """

    ms: float
    lower_ms: float
    upper_ms: float
    height: int
    width: int


@torch.inference_mode()
def frame_latency(magnifier: Magnifier, size: tuple[int, int]) -> Latency:
    """Measure the latency per frame, batch 1, in the precision of the context that it is called in.

    Args:
        magnifier: The network, on the device to measure.
        size: (height, width) of the frames in pixels.
    """
    device = next(magnifier.parameters()).device
    frame = torch.zeros(1, 3, *size, device=device)
    timed = Timed(per_frame(magnifier, frame, frame), device)
    seconds = Summary.of([timed.seconds() for _ in range(REPEATS)])
    return Latency(1e3 * seconds.median, 1e3 * seconds.lower, 1e3 * seconds.upper, *size)


def per_frame(magnifier: Magnifier, reference: Tensor, current: Tensor, encodes: int = 1) -> Callable[[], Tensor]:
    """The work of one frame of video in the steady state, for a clock: encode, manipulate, decode.

    Args:
        magnifier: The network, on the device of the frames.
        reference: Reference frame (B, 3, H, W), encoded when it is first needed.
        current: The frame, same shape.
        encodes: 2 to encode the reference anew for every frame, as a pair of frames on its own costs.
    """
    size = (current.shape[-2], current.shape[-1])
    kept: list[Tensor] = []

    def work() -> Tensor:
        if encodes > 1 or not kept:
            kept[:] = [magnifier.encode(reference).shape]
        code = magnifier.encode(current)
        return magnifier.decode(code.texture, magnifier.manipulate(kept[0], code.shape, ALPHA), size)

    return work
