"""What every magnification method does: encode a frame, take differences, render a frame with more motion in it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Signal = tuple[Tensor, ...]
"""What motion is read from, or a change of it: one or more tensors of any shape, batch first."""


@dataclass(frozen=True)
class Encoded:
    """Frames as a method sees them.

    Attributes:
        signal: What motion is read from: the shape of a learned method, the coefficients of a pyramid.
        carrier: What else it takes to render the frames: the texture of a learned method, chroma.
        size: (H, W) of the frames.
    """

    signal: Signal
    carrier: Any
    size: tuple[int, int]


class Method(ABC):
    """A magnification method, learned or classical, without memory of its own: who calls it keeps what is compared.

    Static and dynamic modes render ``difference(reference, current)``. Temporal modes filter, over time, what
    ``difference`` has gathered since the first frame, and render what comes out of the filter.

    Attributes:
        frame_linear: Whether the signal is a linear function of the frame (up to a constant). Temporal filters then run
            on frames, which take less memory, and ``encode_change`` turns what comes out into a change of the signal.
        wraps: Whether ``difference`` is right for small motion only, as of phases, which wrap. Temporal modes then add
            up differences of neighbouring frames instead of taking each frame's to the first.
    """

    frame_linear: bool = False
    wraps: bool = False

    @abstractmethod
    def encode(self, frames: Tensor) -> Encoded:
        """Encode frames (B, 3, H, W) in [-1, 1], of any size from 1 x 1."""

    def difference(self, reference: Signal, current: Signal) -> Signal:
        """The change from one signal to another; the reference may have batch size 1."""
        return tuple(b - a for a, b in zip(reference, current, strict=True))

    def encode_change(self, change: Tensor) -> Signal:
        """The change of the signal that a change of the frame (B, 3, H, W) makes; only where ``frame_linear``."""
        raise NotImplementedError

    @abstractmethod
    def render(self, encoded: Encoded, change: Signal, alpha: Tensor | float) -> Tensor:
        """Draw the frames with ``alpha - 1`` times a change added to their motion.

        Args:
            encoded: The current frames.
            change: What to amplify, as ``difference`` or ``encode_change`` give it.
            alpha: Total motion factor, a number or (B,); 1 gives the frames back (as well as the method can).

        Returns:
            (B, 3, H, W), about [-1, 1], not clamped.
        """
