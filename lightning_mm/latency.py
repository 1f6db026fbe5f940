"""Latency of a magnifier on the device it lies on: milliseconds per frame of video in the steady state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lightning_mm.models import Magnifier
from lightning_mm.timing import Summary, Timed

REPEATS = 5
_ALPHA = 10.0


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
    timed = Timed(per_frame(magnifier, size), next(magnifier.parameters()).device)
    seconds = Summary.of([timed.seconds() for _ in range(REPEATS)])
    return Latency(1e3 * seconds.median, 1e3 * seconds.lower, 1e3 * seconds.upper, *size)


@torch.inference_mode()
def per_frame(magnifier: Magnifier, size: tuple[int, int]) -> Callable[[], None]:
    """The work of one frame of video in the steady state, for a clock: it encodes one frame, manipulates and decodes.

    Args:
        magnifier: The network, on the device to work on.
        size: (height, width) of the frames in pixels.
    """
    frame = torch.zeros(1, 3, *size, device=next(magnifier.parameters()).device)
    reference = magnifier.encode(frame).shape

    def work() -> None:
        current = magnifier.encode(frame)
        magnifier.decode(current.texture, magnifier.manipulate(reference, current.shape, _ALPHA), size)

    return work
