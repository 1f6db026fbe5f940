"""Phase-based magnification with a complex steerable pyramid (Wadhwa et al., 2013).

The method is patented in some countries (US 9,324,005, 9,805,475, 9,811,901, 10,007,986; not legal advice).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_mm.classical.shared import luma, per_image, require_blur, weighted_blur
from lightning_mm.classical.steerable import HALF_OCTAVE, Layout, SteerablePyramid, quick_length, steerable_pyramid
from lightning_mm.method import Encoded, Method, Signal

_MARGIN = 16
_NEGLIGIBLE = 1e-5  # amplitude, where full scale is 2


class PhaseBased(Method):
    """Turns the phases of luma in the bands of a complex steerable pyramid; chroma stays where it is.

    Frames are continued beyond their borders by reflection, as otherwise what moves out at one side would come in at
    the other. The pyramid is floor(log2(shorter side)) - 2 octaves deep; frames with a side of less than 8 px have no
    bands and stay as they are. As opposed to the original, the highest frequencies are divided into orientations and
    shifted too (see ``steerable``): left in place, as it leaves them, or dropped, they are a second, unmoved image.

    Args:
        layout: Half-octave bands in 8 orientations, or ``steerable.OCTAVE``: 4 orientations, half the time and
            more ringing.
        blur: Standard deviation, in samples of a band with all frequencies up to its cutoff, of the amplitude-weighted
            Gaussian that smooths phase changes; 0 for none.

    Raises:
        InputError: The blur is negative or not finite.
    """

    wraps = True

    def __init__(self, layout: Layout = HALF_OCTAVE, blur: float = 1.0) -> None:
        require_blur(blur)
        self.layout = layout
        self.blur = blur

    def encode(self, frames: Tensor) -> Encoded:
        """Complex coefficients (B, 1, h, w) of luma, by band; see ``Method``."""
        size = (frames.shape[-2], frames.shape[-1])
        (top, bottom), (left, right) = _margins(size)
        padded = F.pad(luma(frames), (left, right, top, bottom), mode="reflect")
        return Encoded(tuple(self._pyramid(size, frames.device).analyse(padded)), frames, size)

    def difference(self, reference: Signal, current: Signal) -> Signal:
        """Phase differences (B, 1, h, w) in rad, in (-pi, pi]; 0 where there is next to nothing to see."""
        changes = []
        for a, b in zip(reference, current, strict=True):
            turned = b * a.conj()
            changes.append(torch.where(turned.abs() > _NEGLIGIBLE**2, turned.angle(), 0.0))
        return tuple(changes)

    def render(self, encoded: Encoded, change: Signal, alpha: Tensor | float) -> Tensor:
        """Add the difference that turning the coefficients makes; see ``Method``."""
        frames, pyramid = encoded.carrier, self._pyramid(encoded.size, encoded.carrier.device)
        if not pyramid.bands:
            return frames
        added = []
        for band, values, phases in zip(pyramid.bands, encoded.signal, change, strict=True):
            (height, width), (full_height, full_width) = band.filter.shape, pyramid.size
            sigma = self.blur / band.cutoff
            smooth = weighted_blur(phases, values.abs(), (sigma * height / full_height, sigma * width / full_width))
            turn = (per_image(alpha, smooth) - 1.0) * smooth
            added.append(values * (torch.polar(torch.ones_like(turn), turn) - 1.0))
        (top, _), (left, _) = _margins(encoded.size)
        height, width = encoded.size
        return frames + pyramid.synthesise(added)[..., top : top + height, left : left + width].to(frames.dtype)

    def _pyramid(self, size: tuple[int, int], device: torch.device) -> SteerablePyramid:
        height, width = (side + sum(margins) for side, margins in zip(size, _margins(size), strict=True))
        return steerable_pyramid((height, width), math.floor(math.log2(min(size))) - 2, self.layout, device)


def _margins(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Pixels to add before and after each axis: enough, and as many more as make its length quick to transform."""
    found = []
    for side in size:
        before = min(_MARGIN, side // 2)
        found.append((before, quick_length(side + 2 * before) - side - before))
    return found
