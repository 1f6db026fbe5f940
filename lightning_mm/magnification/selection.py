"""Where in the frame motion is magnified: a region or a mask; the rest of the frame stays as it is, to the bit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lightning_mm.errors import InputError
from lightning_mm.video.colour import Frame

CONTEXT = 32
"""Pixels around the selection that are magnified along with it, so that its border has neighbours."""

FEATHER = 8
"""Distance from a region, in pixels, from which on the frame is as it was; up to there the two are mixed."""


@dataclass(frozen=True)
class Selection:
    """A part of every frame.

    Attributes:
        rows: The rows that are magnified, context included.
        columns: The columns, likewise.
        weights: (rows, columns, 1) in 0..1: how much of the magnified frame is shown; ``None`` for all of the frame.
    """

    rows: slice
    columns: slice
    weights: NDArray[np.float32] | None = None

    def cut(self, frame: Frame) -> Frame:
        """The part of a frame (H, W, 3) that is magnified."""
        return frame if self.weights is None else np.ascontiguousarray(frame[self.rows, self.columns])

    def put(self, frame: Frame, magnified: Frame) -> Frame:
        """A frame with its magnified part (as of ``cut``) in its place."""
        if self.weights is None:
            return magnified
        whole = frame.copy()
        before = frame[self.rows, self.columns]
        mixed = before + self.weights * (magnified.astype(np.float32) - before)
        whole[self.rows, self.columns] = np.round(mixed).astype(frame.dtype)
        return whole


def everything(width: int, height: int) -> Selection:
    """The whole frame."""
    return Selection(slice(0, height), slice(0, width))


def select(width: int, height: int, roi: tuple[int, int, int, int] | None, mask: Path | None) -> Selection:
    """The selection that a region and a mask make together.

    Args:
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        roi: Left, top, width and height of a region inside the frame; around it, it fades out.
        mask: An image of the frames' size: white is magnified, black is not, grey in between.

    Raises:
        InputError: The mask cannot be read, has another size, or is black.
    """
    if roi is None and mask is None:
        return everything(width, height)
    weights = np.ones((height, width), np.float32)
    if roi is not None:
        left, top, wide, high = roi
        outside = np.ones((height, width), bool)
        outside[top : top + high, left : left + wide] = False
        distance = np.asarray(ndimage.distance_transform_edt(outside))
        weights = np.clip(1.0 - distance / FEATHER, 0.0, 1.0).astype(np.float32)
    if mask is not None:
        weights = weights * _read_mask(mask, width, height)
    places = np.nonzero(weights)
    if not len(places[0]):
        raise InputError(f"mask = '{mask}': is black wherever motion is to be magnified; white is magnified")
    bounds = [(int(axis.min()), int(axis.max()) + 1) for axis in places]
    rows, columns = (
        slice(max(first - CONTEXT, 0), min(last + CONTEXT, size))
        for (first, last), size in zip(bounds, (height, width), strict=True)
    )
    return Selection(rows, columns, np.ascontiguousarray(weights[rows, columns, None]))


def _read_mask(path: Path, width: int, height: int) -> NDArray[np.float32]:
    """Weights (H, W) in 0..1 of a grey or coloured image of 8 or 16 bits; what is transparent is black."""
    try:
        with Image.open(path) as image:
            size = image.size
            if image.mode.startswith("I"):
                values = np.asarray(image, np.float32) / 65535.0
            else:
                grey, shown = image.convert("RGBA").convert("L"), image.convert("RGBA").getchannel("A")
                values = np.asarray(grey, np.float32) / 255.0 * (np.asarray(shown, np.float32) / 255.0)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"mask = '{path}': not a readable image ({type(error).__name__})") from None
    if size != (width, height):
        accepted = f"must have the size of the frames, {width} x {height}"
        raise InputError(f"mask = '{path}': {size[0]} x {size[1]} pixels; {accepted}")
    return np.clip(values, 0.0, 1.0)
