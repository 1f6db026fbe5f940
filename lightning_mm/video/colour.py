"""How video stores pixels: colour matrix and range, and the orientation that players apply."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

Frame = NDArray[np.uint8 | np.uint16]
"""RGB (H, W, 3): uint8 of 0..255, or uint16 of 0..65535 where the source has more than 8 bits."""

_UNSPECIFIED = 2

# Without full chroma and accurate rounding, swscale is off by several levels on saturated colours.
QUALITY = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Colour:
    """How a clip stores RGB as YUV, in the code points of ITU-T H.273 that FFmpeg uses.

    Attributes:
        matrix: Matrix coefficients: 1 is BT.709, 5 and 6 are BT.601, 9 is BT.2020.
        full_range: Whether luma spans 0..255 rather than 16..235.
        primaries: Colour primaries; 2 is unspecified. Carried along, never converted.
        transfer: Transfer characteristics; 2 is unspecified. Carried along, never converted.
    """

    matrix: int
    full_range: bool = False
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED

    @classmethod
    def usual(cls, height: int) -> "Colour":
        """What players assume of untagged video: limited range, BT.709 from 720 lines upwards, else BT.601."""
        return cls(matrix=1 if height >= 720 else 6)

    @property
    def range_code(self) -> int:
        """The range as FFmpeg's code: 2 full, 1 limited."""
        return int(ColorRange.JPEG if self.full_range else ColorRange.MPEG)

    @property
    def swscale_matrix(self) -> int:
        """The matrix as swscale's code, which has one for both names of BT.601 and one for both of BT.2020."""
        return {6: 5, 10: 9}.get(self.matrix, self.matrix)


def colour_of(frame: VideoFrame) -> tuple[Colour, int | None]:
    """Colour for a copy of the clip, and the range to read it with (``None``: not YUV, nothing to be told)."""
    usual = Colour.usual(frame.height)
    # 0 and 3 are reserved: encoders refuse them.
    tags = [_UNSPECIFIED if tag in (0, 3) else int(tag) for tag in (frame.color_primaries, frame.color_trc)]
    name = frame.format.name
    if frame.format.is_rgb or name == "pal8":
        return Colour(usual.matrix, False, *tags), None
    full = name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    matrix = int(frame.colorspace)
    colour = Colour(matrix if matrix in (1, 4, 5, 6, 7, 9, 10) else usual.matrix, full, *tags)
    if name.startswith(("gray", "ya", "mono")) and frame.color_range == ColorRange.UNSPECIFIED:
        return colour, int(ColorRange.JPEG)  # grey without a tag is full range; its YUV copy need not be
    return colour, colour.range_code


def orientation_of(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """How to turn the pixels by the display matrix: swap rows and columns, then reverse rows, reverse columns."""
    side_data: Any = frame.side_data
    for data in side_data:
        if data.type == SideDataType.DISPLAYMATRIX:
            m = np.frombuffer(bytes(data), np.int32)  # a point goes to x' = m0 x + m3 y, y' = m1 x + m4 y
            if abs(int(m[1])) > abs(int(m[0])):
                return True, bool(m[1] < 0), bool(m[3] < 0)
            return False, bool(m[4] < 0), bool(m[0] < 0)
    return False, False, False


def turned(image: Frame, swap: bool, rows: bool, columns: bool) -> Frame:
    """Apply ``orientation_of`` to an image (H, W, 3)."""
    image = image.transpose(1, 0, 2) if swap else image
    return np.ascontiguousarray(image[:: -1 if rows else 1, :: -1 if columns else 1])
