"""Rectangles in a frame, as they are written on the command line."""

from lightning_mm.errors import InputError

Region = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


def region(text: str | None, width: int, height: int, option: str = "roi") -> Region:
    """A region of a frame from "X,Y,WIDTH,HEIGHT"; the whole frame when left out.

    Args:
        text: What the user wrote.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        option: Name of the option, for messages.

    Raises:
        InputError: Not of this form, or not inside the frame.
    """
    if text is None:
        return 0, 0, width, height
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} = {text!r}: must be X,Y,WIDTH,HEIGHT in whole pixels") from None
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise InputError(f"{option} = {text!r}: must lie inside the frame of {width} x {height}")
    return x, y, w, h
