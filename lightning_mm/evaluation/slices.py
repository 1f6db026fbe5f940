"""Slice pictures of known motion: a row of pixels over time, with the expected curve drawn over it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from lightning_mm.video.colour import Frame

ZOOM = 6
_STRIP, _FONT_SIZE = 24, 15
_LINE = (228, 26, 28)


def sharpest_edge(frame: Frame, reach: int) -> tuple[int, int]:
    """Row and column of the strongest and longest vertical edge.

    Args:
        frame: uint8 RGB (H, W, 3).
        reach: Pixels that the edge must be away from the sides, as far as the frame is large enough.
    """
    grey = frame.astype(np.float64).mean(axis=2)
    steps = gaussian_filter(np.diff(gaussian_filter(grey, (2.0, 0.7)), axis=1), (3.0, 0.0))
    height, width = frame.shape[:2]
    top, left = min(8, height // 4), min(reach, width // 3)
    inner = np.abs(steps[top : height - top, left : width - 1 - left])
    row, column = divmod(int(inner.argmax()), inner.shape[1])
    return row + top, column + left


def sliced(frames: list[Frame], row: int, column: int, reach: int, curve: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The picture of one clip.

    Args:
        frames: uint8 RGB (H, W, 3) each.
        row: Row of pixels to show.
        column: Where the edge is at rest: between this pixel and the next.
        reach: Pixels to show on either side of it, as far as the frame goes.
        curve: (T,) px, where the edge should be relative to its rest.

    Returns:
        uint8 RGB: x runs down, time to the right, ``ZOOM`` times enlarged.
    """
    low, high = max(0, column - reach), min(frames[0].shape[1], column + reach + 2)
    pixels = np.stack([frame[row, low:high] for frame in frames], axis=1)
    picture = Image.fromarray(pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1))
    points = [((t + 0.5) * ZOOM, (column + 1 - low + moved) * ZOOM) for t, moved in enumerate(curve)]
    ImageDraw.Draw(picture).line(points, fill=_LINE, width=1)
    return np.asarray(picture)


def stacked(panels: dict[str, NDArray[np.uint8]], footer: str) -> NDArray[np.uint8]:
    """Pictures of one width below one another, each under its name, and a line of text below all."""
    width = max(panel.shape[1] for panel in panels.values())
    height = sum(panel.shape[0] + _STRIP for panel in panels.values()) + _STRIP
    picture = Image.new("RGB", (width, height), "white")
    draw, font, top = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE), 0
    for name, panel in panels.items():
        draw.text((4, top + 3), name, fill="black", font=font)
        picture.paste(Image.fromarray(panel), (0, top + _STRIP))
        top += panel.shape[0] + _STRIP
    draw.text((4, top + 3), footer, fill="dimgray", font=font)
    return np.asarray(picture)
