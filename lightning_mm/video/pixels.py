"""Decoded frames as RGB arrays of the full range, in 16 bits where the source has more than 8."""

from functools import lru_cache
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from lightning_mm.video.colour import QUALITY, Colour, Frame

# What swscale makes of white in limited range when it converts to 16 bits per channel; black is 0 and all between is
# proportional. Measured with 10, 12 and 16 bits.
_SWSCALE_WHITE = 65283


def bits_of(pixels: VideoFormat) -> int:
    """Bits per channel of a pixel format, 16 at most."""
    return min(16, max(component.bits for component in pixels.components))


def depth_of(pixels: VideoFormat) -> int:
    """Depth of the frames to make of a pixel format: 8, or 16 where it has more than 8 bits per channel."""
    return 16 if bits_of(pixels) > 8 else 8


class ToRGB:
    """Converts decoded frames to RGB (H, W, 3) of the full range.

    Grey of any depth is scaled by its own table, since swscale ignores its range and is off by some levels: the result
    is the nearest level, and equal in the three channels. RGB is exact up to 8 and at 16 bits, to the nearest level
    between. YUV goes through swscale with full chroma and accurate rounding; from more than 8 bits, white comes out
    short of 65535 there (65283 from limited range), which is made up for here.

    Args:
        depth: 8 for uint8, 16 for uint16.
        colour: Matrix to read YUV with.
        source_range: Range to read it with, as FFmpeg's code; ``None`` for RGB.
    """

    def __init__(self, depth: int, colour: Colour, source_range: int | None) -> None:
        self.depth = depth
        self.source_range = source_range
        self._reformatter = VideoReformatter()
        self._options: dict[str, Any] = {"interpolation": QUALITY, "dst_color_range": ColorRange.JPEG}
        if source_range is not None:
            self._options |= {"src_color_range": source_range, "src_colorspace": colour.swscale_matrix}

    def __call__(self, frame: VideoFrame) -> Frame:
        """RGB (H, W, 3), uint8 or uint16 by ``depth``."""
        name, bits = frame.format.name, bits_of(frame.format)
        if is_grey(name):
            table = grey_table(bits, self.depth, self.source_range == ColorRange.MPEG)
            return np.repeat(table[_luma(frame, name)][..., None], 3, axis=2)
        if self.depth == 8 or bits <= 8:
            levels: Any = self._reformatter.reformat(frame, format="rgb24", **self._options).to_ndarray()
            return as_depth(levels, self.depth)
        rgb: Any = self._reformatter.reformat(frame, format="rgb48le", **self._options).to_ndarray()
        if frame.format.is_rgb:
            return rgb
        white = ((1 << bits) - 1) << (16 - bits) if self.source_range == ColorRange.JPEG else _SWSCALE_WHITE
        return rgb if white == 65535 else _gain_table(white)[rgb]


def is_grey(name: str) -> bool:
    """Whether a pixel format, by FFmpeg's name, is whole-numbered grey of up to 16 bits, with alpha or without."""
    return name in ("gray", "ya8") or (name.endswith(("le", "be")) and name[:-2] in _GREYS)


_GREYS = ("gray9", "gray10", "gray12", "gray14", "gray16", "ya16")


def _luma(frame: VideoFrame, name: str) -> NDArray[Any]:
    kind = np.dtype(np.uint8) if name in ("gray", "ya8") else np.dtype(">u2" if name.endswith("be") else "<u2")
    plane: Any = frame.planes[0]
    values = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
    step = 2 if name.startswith("ya") else 1
    return values[: frame.height, : step * frame.width : step]


@lru_cache
def grey_table(bits: int, depth: int, limited: bool = False) -> Frame:
    """For each stored level of ``bits`` bits the nearest of ``depth`` bits; limited range is 16 to 235 of 256."""
    levels = np.arange(1 << (8 if bits <= 8 else 16), dtype=np.float64)  # a damaged frame may hold any
    low, high = (16 << bits - 8, 235 << bits - 8) if limited else (0, (1 << bits) - 1)
    top = (1 << depth) - 1
    scaled = np.clip((levels - low) / (high - low), 0.0, 1.0) * top
    return scaled.round().astype(np.uint8 if depth == 8 else np.uint16)


@lru_cache
def _gain_table(white: int) -> Frame:
    return np.minimum(np.round(np.arange(65536.0) * (65535 / white)), 65535).astype(np.uint16)


@lru_cache
def _rounding_table() -> Frame:
    return np.round(np.arange(65536) / 257.0).astype(np.uint8)


def as_depth(frame: Frame, depth: int) -> Frame:
    """A frame of another depth: 16 to 8 bits rounds to the nearest level, 8 to 16 is exact (times 257)."""
    if frame.dtype == (np.uint8 if depth == 8 else np.uint16):
        return frame
    return _rounding_table()[frame] if depth == 8 else frame.astype(np.uint16) * np.uint16(257)
