"""Decoding in tiles: as much of the frame at a time as fits in memory, with the same result.

Only the manipulator and the decoder are tiled: their tensors at the frame's full size are what takes the memory. What
a temporal filter or a reference frame keeps is a few channels at half of the size, and stays whole.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, MagnifierConfig, Representation
from lightning_mm.models.block_forms import BLOCK_PADDINGS

SMALLEST = 64
"""Side in pixels of the smallest tiles."""


class Span(NamedTuple):
    """A stretch of one axis, in pixels of the padded frame.

    Attributes:
        start: First pixel that the tile draws.
        stop: One past its last.
        first: First pixel that it sees.
        last: One past the last that it sees.
    """

    start: int
    stop: int
    first: int
    last: int


def reach(config: MagnifierConfig) -> int:
    """How far the manipulator and the decoder see to each side, in pixels of the frame, rounded up to the stride.

    Args:
        config: The network.
    """
    at_half = 3 + 1 + 2 * config.manipulator_block + 1  # 7x7, 3x3, block; the texture's 3x3
    pixels = 2 * at_half
    for level in range(config.downsamplings):
        pixels += 2 ** (level + 1)  # each stride-2 convolution sees one value of its input to each side
    pixels += config.bottleneck * sum(sum(BLOCK_PADDINGS[kind]) for kind in config.decoder_kinds)
    for level in range(config.downsamplings + 1):
        # A 3x3 convolution on either side of an enlargement, and the half value that the enlargement rounds away.
        pixels += 2 * config.bottleneck // 2**level
    pixels += 1 + config.output_kernel // 2
    return -(-pixels // config.stride) * config.stride + config.stride


def spans(size: int, tile: int, halo: int) -> Iterator[Span]:
    """Cut one axis into tiles that overlap by what each sees of its neighbours.

    All see equally much, those at the ends more to the other side than they need: what is compiled for one size of
    tiles is compiled once.

    Args:
        size: Length of the axis in pixels, padded.
        tile: Length of a tile, a multiple of the network's stride.
        halo: How far a tile sees beyond its ends, likewise.
    """
    seen = min(tile + 2 * halo, size)
    for start in range(0, size, tile):
        first = min(max(start - halo, 0), size - seen)
        yield Span(start, min(start + tile, size), first, first + seen)


def render_tiled(
    magnifier: Magnifier, code: Representation, change: Tensor, alpha: Tensor | float, size: tuple[int, int], tile: int
) -> Tensor:
    """``magnifier.decode`` of the amplified shape, tile by tile; equal up to rounding.

    Args:
        magnifier: The network.
        code: Representation of the current frames.
        change: Change of shape to amplify, (B, c_E, H/2, W/2).
        alpha: Total motion factor.
        size: (H, W) of the frames.
        tile: Side of the tiles in pixels, at least ``SMALLEST``; the halo comes on top.

    Returns:
        (B, 3, H, W), about [-1, 1], not clamped.

    Raises:
        InputError: The tiles are too small.
    """
    if tile < SMALLEST:
        raise InputError(f"tile = {tile}: must be at least {SMALLEST} pixels")
    stride, halo = magnifier.config.stride, reach(magnifier.config)
    tile = -(-tile // stride) * stride
    padded = (2 * code.shape.shape[-2], 2 * code.shape.shape[-1])
    output: Tensor | None = None
    for rows in spans(padded[0], tile, halo):
        for columns in spans(padded[1], tile, halo):
            shape, difference = (_crop(values, rows, columns, 2) for values in (code.shape, change))
            texture = _crop(code.texture, rows, columns, padded[0] // code.texture.shape[-2])
            drawn = magnifier.decode(texture, magnifier.amplify(shape, difference, alpha))
            drawn = drawn[
                ...,
                rows.start - rows.first : rows.stop - rows.first,
                columns.start - columns.first : columns.stop - columns.first,
            ]
            if output is None:
                output = torch.empty(*drawn.shape[:2], *padded, dtype=drawn.dtype, device=drawn.device)
            output[..., rows.start : rows.stop, columns.start : columns.stop] = drawn
    assert output is not None
    return output[..., : size[0], : size[1]]


def _crop(values: Tensor, rows: Span, columns: Span, denominator: int) -> Tensor:
    high, wide = (slice(span.first // denominator, span.last // denominator) for span in (rows, columns))
    return values[..., high, wide]
