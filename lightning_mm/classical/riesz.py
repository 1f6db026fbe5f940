"""Phase-based magnification with a Riesz pyramid (Wadhwa et al., 2014).

The method is patented in some countries (US 9,338,331 and the family of the phase-based method; not legal advice).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_mm.classical.laplacian import collapse, laplacian
from lightning_mm.classical.shared import luma, per_image, require_blur, weighted_blur
from lightning_mm.method import Encoded, Method, Signal

_NEGLIGIBLE = 1e-5  # amplitude, where full scale is 2
_TINY = 1e-20


class Riesz(Method):
    """Turns the quaternionic phases of luma in the bands of a Laplacian pyramid; chroma stays where it is.

    A band and its two Riesz transforms, here differences of neighbours as in the original, make a quaternion whose
    phase moves along the local orientation. Its change between frames is kept as its components along x and y. The
    original's own pyramid of 9-tap filters is no better than the Laplacian one here. Frames with a side of less than
    8 px have no bands and stay as they are.

    Args:
        blur: Standard deviation, in samples of a band, of the amplitude-weighted Gaussian that smooths phase changes; 0
            for none.

    Raises:
        InputError: The blur is negative or not finite.
    """

    wraps = True

    def __init__(self, blur: float = 1.0) -> None:
        require_blur(blur)
        self.blur = blur

    def encode(self, frames: Tensor) -> Encoded:
        """Bands of luma with their Riesz transforms along x and y, (B, 3, h, w) each; see ``Method``."""
        bands = tuple(_with_riesz(band) for band in laplacian(luma(frames))[:-1])
        return Encoded(bands, frames, (frames.shape[-2], frames.shape[-1]))

    def difference(self, reference: Signal, current: Signal) -> Signal:
        """Phase differences (B, 2, h, w) in rad along x and y, at most pi long; 0 where there is nothing to see."""
        changes = []
        for a, b in zip(reference, current, strict=True):
            (a_real, a_x, a_y), (b_real, b_x, b_y) = a.split(1, dim=1), b.split(1, dim=1)
            # The current quaternion times the conjugate of the reference, without its k.
            real = b_real * a_real + b_x * a_x + b_y * a_y
            x, y = a_real * b_x - b_real * a_x, a_real * b_y - b_real * a_y
            length = torch.hypot(x, y)
            phase = torch.atan2(length, real)  # the arc cosine of the real part loses small phases to rounding
            scale = torch.where(torch.hypot(length, real) > _NEGLIGIBLE**2, phase / length.clamp(min=_TINY), 0.0)
            changes.append(torch.cat([scale * x, scale * y], dim=1))
        return tuple(changes)

    def render(self, encoded: Encoded, change: Signal, alpha: Tensor | float) -> Tensor:
        """Add the difference that turning the coefficients makes; see ``Method``."""
        frames = encoded.carrier
        if not encoded.signal:
            return frames
        added = [
            _turned(band, self._turn(band, moved, alpha)) for band, moved in zip(encoded.signal, change, strict=True)
        ]
        height, width = added[-1].shape[-2:]
        rest = added[-1].new_zeros(len(frames), 1, (height + 1) // 2, (width + 1) // 2)
        return frames + collapse([*added, rest]).to(frames.dtype)

    def _turn(self, band: Tensor, moved: Tensor, alpha: Tensor | float) -> Tensor:
        real, x, y = band.split(1, dim=1)
        amplitude = torch.sqrt(real * real + x * x + y * y)
        return (per_image(alpha, moved) - 1.0) * weighted_blur(moved, amplitude, (self.blur, self.blur))


def _with_riesz(band: Tensor) -> Tensor:
    """A band (B, 1, H, W) and its approximate Riesz transforms along x and y, (B, 3, H, W)."""
    padded = F.pad(band, (1, 1, 1, 1), mode="reflect")
    x = 0.5 * (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2])
    y = 0.5 * (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1])
    return torch.cat([band, x, y], dim=1)


def _turned(band: Tensor, turn: Tensor) -> Tensor:
    """What the real part (B, 1, H, W) of a quaternion gains from turning by phases (B, 2, H, W)."""
    real, x, y = band.split(1, dim=1)
    turn_x, turn_y = turn.split(1, dim=1)
    angle = torch.hypot(turn_x, turn_y)
    along = turn_x * x + turn_y * y
    return (torch.cos(angle) - 1.0) * real - torch.sin(angle) / angle.clamp(min=_TINY) * along
