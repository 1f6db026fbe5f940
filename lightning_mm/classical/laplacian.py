"""Laplacian pyramid (Burt and Adelson, 1983) with the five-tap binomial filter."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_mm.classical.shared import correlate

SMALLEST = 8
_TAPS = (6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0)


def laplacian(image: Tensor) -> list[Tensor]:
    """Split images (B, C, H, W) into bands, from the finest to the low-pass rest.

    A level is split for as long as its shorter side has ``SMALLEST`` pixels: smaller images are all rest.
    """
    bands = []
    while min(image.shape[-2:]) >= SMALLEST:
        coarse = _blur(image)[..., ::2, ::2]
        bands.append(image - _upsample(coarse, image.shape[-2:]))
        image = coarse
    return [*bands, image]


def collapse(bands: Sequence[Tensor]) -> Tensor:
    """Images (B, C, H, W) from the bands of ``laplacian``."""
    image = bands[-1]
    for band in reversed(bands[:-1]):
        image = _upsample(image, band.shape[-2:]) + band
    return image


def _blur(image: Tensor) -> Tensor:
    padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
    return correlate(correlate(padded, _TAPS, axis=-1), _TAPS, axis=-2)


def _upsample(image: Tensor, size: torch.Size) -> Tensor:
    """The pyramid's expansion: coarse pixels stay where they were taken from, at the even positions."""
    spread = image.new_zeros(*image.shape[:2], *size)
    spread[..., ::2, ::2] = image
    return 4.0 * _blur(spread)
