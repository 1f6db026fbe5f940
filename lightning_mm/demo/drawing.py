"""Pictures of the page: the first frame with what was found in it, and messages."""

from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lightning_mm.video.colour import Frame
from lightning_mm.video.regions import Region

_POINT, _REGION = "#e69f00", "#d55e00"


def frame_picture(
    frame: Frame, points: NDArray[np.float64], region: Region | None, corner: tuple[int, int] | None = None
) -> Image.Image:
    """A frame (H, W, 3) with the points that are measured, the region, and the corner of one that is being drawn."""
    levels = ((frame.astype(np.uint32) + 128) // 257).astype(np.uint8) if frame.dtype == np.uint16 else frame
    picture = Image.fromarray(np.ascontiguousarray(levels))
    draw = ImageDraw.Draw(picture)
    radius = max(2, round(max(picture.size) / 160))
    for x, y in [] if region is not None else points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_POINT, width=max(1, radius // 2))
    if region is not None:
        left, top, width, height = region
        draw.rectangle((left, top, left + width - 1, top + height - 1), outline=_REGION, width=max(1, radius // 2))
    if corner is not None:
        x, y = corner
        draw.line((x - 3 * radius, y, x + 3 * radius, y), fill=_REGION, width=max(1, radius // 2))
        draw.line((x, y - 3 * radius, x, y + 3 * radius), fill=_REGION, width=max(1, radius // 2))
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
