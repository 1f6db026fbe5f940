"""Linear Eulerian magnification of two frames (Wu et al., 2012).

The method is covered by US patents 9,324,005, 9,811,901 and others of its family; it is here for comparison.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_CUTOFF_WAVELENGTH = 16.0
_EXAGGERATION = 2.0


def magnify_linear(frame_a: Tensor, frame_b: Tensor, alpha: Tensor) -> Tensor:
    """Amplify the change between two frames in the bands of a Laplacian pyramid.

    Each band's factor is capped where the first-order approximation breaks, as in the original: with the representative
    wavelength w of a band and the cutoff wavelength w_c = 16 px, factor = min(alpha - 1, (w * alpha / w_c - 1) * 2),
    not below zero. The finest band and the low-pass rest are not amplified.

    Args:
        frame_a: Reference frames (B, 3, H, W) in [-1, 1].
        frame_b: Current frames, same shape.
        alpha: (B,) total motion factor; the paper's and the original's factor is alpha - 1.

    Returns:
        (B, 3, H, W) clamped to [-1, 1].
    """
    height, width = frame_a.shape[-2:]
    bands = _laplacian(frame_b - frame_a)
    wavelength = (height**2 + width**2) ** 0.5 / 3.0 / 2.0 ** (len(bands) - 1)
    added = torch.zeros_like(bands[-1])
    for number in range(len(bands) - 1, -1, -1):
        amplified = number not in (0, len(bands) - 1)
        added = _upsample(added, bands[number].shape[-2:]) if added.shape != bands[number].shape else added
        if amplified:
            limit = (wavelength * 2.0**number * alpha / _CUTOFF_WAVELENGTH - 1.0) * _EXAGGERATION
            factor = torch.minimum(alpha - 1.0, limit).clamp(min=0.0)
            added = added + factor.view(-1, 1, 1, 1) * bands[number]
    return (frame_b + added).clamp(-1.0, 1.0)


def _laplacian(image: Tensor) -> list[Tensor]:
    """Bands from the finest to the low-pass rest."""
    bands = []
    while min(image.shape[-2:]) >= 8:
        coarse = _blur(image)[..., ::2, ::2]
        bands.append(image - _upsample(coarse, image.shape[-2:]))
        image = coarse
    return [*bands, image]


def _blur(image: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image.device, dtype=image.dtype) / 16.0
    channels = image.shape[1]
    image = F.pad(image, (2, 2, 2, 2), mode="reflect")
    image = F.conv2d(image, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(image, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)


def _upsample(image: Tensor, size: torch.Size) -> Tensor:
    """Burt and Adelson's expansion: coarse pixels stay where they were taken from, at the even positions."""
    spread = image.new_zeros(*image.shape[:2], *size)
    spread[..., ::2, ::2] = image
    return 4.0 * _blur(spread)
