"""Pictures of the page: the first frame with what was found in it, and messages."""

from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lightning_mm.video.colour import Frame
from lightning_mm.video.pixels import as_depth
from lightning_mm.video.regions import Region

_POINT, _REGION = "#e69f00", "#d55e00"
_SHOWN = 640


def enlargement(frame: Frame) -> int:
    """Whole factor by which a small frame (H, W, 3) is shown larger."""
    return max(1, round(_SHOWN / max(frame.shape[:2])))


def frame_picture(
    frame: Frame, points: NDArray[np.float64], region: Region | None, corner: tuple[int, int] | None = None
) -> Image.Image:
    """A frame with what was found in it, enlarged by ``enlargement``.

    Args:
        frame: uint8 or uint16 (H, W, 3).
        points: (N, 2) as (x, y) px, the points that are measured where there is no region.
        region: Left, top, width and height in pixels.
        corner: (x, y) of one corner of a region, the other of which is still to come.
    """
    factor = enlargement(frame)
    picture = Image.fromarray(np.ascontiguousarray(as_depth(frame, 8)).repeat(factor, axis=0).repeat(factor, axis=1))
    draw = ImageDraw.Draw(picture)
    for x, y in [] if region is not None else (points + 0.5) * factor:
        for radius, colour, width in ((6, "black", 4), (5, _POINT, 2)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
    if region is not None:
        left, top, wide, high = (factor * value for value in region)
        for colour, width in (("white", 4), (_REGION, 2)):
            draw.rectangle((left, top, left + wide - 1, top + high - 1), outline=colour, width=width)
    if corner is not None:
        x, y = (factor * (value + 0.5) for value in corner)
        for colour, width in (("white", 4), (_REGION, 2)):
            draw.line((x - 9, y, x + 9, y), fill=colour, width=width)
            draw.line((x, y - 9, x, y + 9), fill=colour, width=width)
    return picture


def between(corner: tuple[int, int], other: tuple[int, int], width: int, height: int) -> str:
    """The region between two corners, inside a frame of a size, as "X,Y,WIDTH,HEIGHT"."""
    (left, right), (top, bottom) = (
        (max(0, min(a, b)), min(size - 1, max(a, b))) for a, b, size in zip(corner, other, (width, height), strict=True)
    )
    return f"{left},{top},{right - left + 1},{bottom - top + 1}"


def said(lines: Iterable[str]) -> str:
    """Lines as a message."""
    items = [escape(line) for line in lines]
    if len(items) < 2:
        return f'<div class="mm-done">{"".join(items)}</div>' if items else ""
    return f'<div class="mm-done"><ul>{"".join(f"<li>{item}</li>" for item in items)}</ul></div>'


def refused(error: Exception) -> str:
    """An error as a message of one line."""
    return f'<div class="mm-error" role="alert">{escape(" ".join(str(error).split()))}</div>'


def progress(what: str, done: int, total: int | None) -> str:
    """How far something is."""
    bar = f'<progress value="{done}" max="{total}"></progress>' if total else "<progress></progress>"
    return f'<div class="mm-progress">{escape(what)} {bar} {done}{f" of {total}" if total else ""} frames</div>'
