"""Linear Eulerian magnification (Wu et al., 2012): the change of each pixel is amplified, band by band.

The method is patented in some countries (US 9,324,005, 9,811,901 and others of their family; not legal advice).
"""

import torch
from torch import Tensor

from lightning_mm.classical.laplacian import collapse, laplacian
from lightning_mm.classical.shared import magnify_pair, per_image
from lightning_mm.method import Encoded, Method, Signal

_CUTOFF_WAVELENGTH = 16.0
_EXAGGERATION = 2.0


class LinearEulerian(Method):
    """Amplifies the change of a frame in the bands of a Laplacian pyramid, chroma as much as luma.

    Each band's factor is capped where the first-order approximation breaks, as in the original: with the representative
    wavelength w of a band and the cutoff wavelength w_c = 16 px, factor = min(alpha - 1, (w * alpha / w_c - 1) * 2),
    not below zero. An alpha below 1 takes 1 - alpha times the change away, and only what is more than all of it is
    capped. The finest band and the low-pass rest are left as they are; frames with a side of less than 15 px, which
    have no other band, altogether.
    """

    frame_linear = True

    def encode(self, frames: Tensor) -> Encoded:
        """The frames themselves; see ``Method``."""
        return Encoded((frames,), None, (frames.shape[-2], frames.shape[-1]))

    def encode_change(self, change: Tensor) -> Signal:
        """The change itself; see ``Method``."""
        return (change,)

    def render(self, encoded: Encoded, change: Signal, alpha: Tensor | float) -> Tensor:
        """Add the amplified change to the frames; see ``Method``."""
        (frames,), (moved,) = encoded.signal, change
        return frames + _amplified(moved, per_image(alpha, moved))


def magnify_linear(frame_a: Tensor, frame_b: Tensor, alpha: Tensor | float) -> Tensor:
    """Amplify the change between two frames by ``LinearEulerian``; see ``magnify_pair``."""
    return magnify_pair(LinearEulerian(), frame_a, frame_b, alpha)


def _amplified(change: Tensor, alpha: Tensor) -> Tensor:
    """What is to be added to the frames: factor times the change, by band."""
    height, width = change.shape[-2:]
    bands = laplacian(change)
    wavelength = (height**2 + width**2) ** 0.5 / 3.0 / 2.0 ** (len(bands) - 1)
    added = [torch.zeros_like(band) for band in bands]
    excess = (alpha - 1.0).abs()
    least = (alpha < 1.0).to(change.dtype)  # what is taken away to stop the motion is not capped
    for number in range(1, len(bands) - 1):
        limit = (wavelength * 2.0**number * (1.0 + excess) / _CUTOFF_WAVELENGTH - 1.0) * _EXAGGERATION
        factor = torch.sign(alpha - 1.0) * torch.minimum(excess, torch.maximum(limit, least))
        added[number] = factor * bands[number]
    return collapse(added)
