"""Slice pictures: one row or column of pixels of every frame side by side, which shows motion on paper."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lightning_mm.errors import InputError
from lightning_mm.video.colour import Frame
from lightning_mm.video.outputs import check_file, temporary_name
from lightning_mm.video.pixels import as_depth

MAX_WIDTH = 4096
MIN_WIDTH = 480
_STRIP = 22
_FONT_SIZE = 14


@dataclass(frozen=True)
class SliceLine:
    """A line of pixels in every frame.

    Attributes:
        axis: The coordinate that is held: "y" is a row and gives an x-t picture, "x" a column and gives a y-t picture.
        index: Its value in pixels, counted from 0 at the top or the left.
    """

    axis: Literal["x", "y"]
    index: int

    @classmethod
    def parse(cls, text: str, width: int, height: int) -> "SliceLine":
        """Read "y=210" or "x=320".

        Args:
            text: What the user wrote.
            width: Width of the frames in pixels.
            height: Height of the frames in pixels.

        Raises:
            InputError: Not of this form, or outside of the frame.
        """
        match = re.fullmatch(r"\s*([xy])\s*=\s*([0-9]{1,9})\s*", text, re.IGNORECASE)
        if match is None:
            raise InputError(f"slice = '{text}': must be 'y=ROW' or 'x=COLUMN' in pixels, such as y={height // 2}")
        axis: Literal["x", "y"] = "x" if match[1].lower() == "x" else "y"
        size, lines = (width, "columns") if axis == "x" else (height, "rows")
        if int(match[2]) >= size:
            raise InputError(f"slice = '{text}': the clip has the {lines} 0 to {size - 1}")
        return cls(axis, int(match[2]))

    def take(self, frame: Frame) -> Frame:
        """The line of a frame (H, W, 3), copied: (W, 3) of a row, (H, 3) of a column."""
        return (frame[self.index] if self.axis == "y" else frame[:, self.index]).copy()


class SlicePicture:
    """Collects a line of the input frames, and of the magnified ones where there are any, and draws it against time.

    Time runs to the right in every panel, so a still edge draws a straight line and a vibration a wave. A clip of
    more than ``MAX_WIDTH`` frames is thinned out evenly while it is collected: memory stays bounded.

    Args:
        line: Which pixels.
    """

    def __init__(self, line: SliceLine) -> None:
        self.line = line
        self.frames = 0
        self.step = 1
        self._lines: list[tuple[Frame, ...]] = []

    def add(self, before: Frame, after: Frame | None = None) -> None:
        """Take the line of one input frame and of its magnified frame, both (H, W, 3) uint8 or uint16.

        A clip has magnified frames throughout, or none.
        """
        if self.frames % self.step == 0:
            if len(self._lines) == MAX_WIDTH:
                self._lines = self._lines[::2]
                self.step *= 2
            if self.frames % self.step == 0:
                self._lines.append(tuple(self.line.take(frame) for frame in (before, after) if frame is not None))
        self.frames += 1

    def panels(self) -> tuple[Frame, ...]:
        """Input and magnified slice, each (length of the line, columns of time, 3), one column per frame kept."""
        return tuple(np.stack(lines, axis=1) for lines in zip(*self._lines, strict=True))

    def draw(self, alpha: float | None = None) -> Image.Image:
        """The labelled picture: input above, magnified below. Short clips are stretched in time by a whole factor.

        Args:
            alpha: Total motion factor, for the label, where it is known.
        """
        panels = [as_depth(panel, 8) for panel in self.panels()]
        labels = ("input", "magnified" if alpha is None else f"magnified, alpha = {alpha:g}")[: len(panels)]
        length, columns = panels[0].shape[:2]
        stretch = max(1, -(-MIN_WIDTH // columns))
        picture = Image.new("RGB", (columns * stretch, len(panels) * (length + _STRIP) + _STRIP), "white")
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
        top = 0
        for label, panel in zip(labels, panels, strict=True):
            draw.text((4, top + 2), label, fill="black", font=font)
            picture.paste(Image.fromarray(np.repeat(panel, stretch, axis=1)), (0, top + _STRIP))
            top += length + _STRIP
        along = "x" if self.line.axis == "y" else "y"
        thinned = f", 1 in {self.step} shown" if self.step > 1 else ""
        shown = f"{self.line.axis} = {self.line.index}; {along} runs down"
        footer = f"{shown}, time to the right: {self.frames} frames{thinned}"
        draw.text((4, top + 2), footer, fill="dimgray", font=font)
        return picture

    def save(self, path: Path, alpha: float | None = None) -> None:
        """Write the picture as PNG, whole or not at all; ``alpha`` as of ``draw``.

        Raises:
            InputError: The file cannot be written.
        """
        temporary = temporary_name(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.draw(alpha).save(temporary)
            os.replace(temporary, path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
        finally:
            temporary.unlink(missing_ok=True)


def slice_path(output: Path, given: Path | None, source: Path, overwrite: bool) -> Path:
    """Where the slice picture goes: ``<output stem>_slice.png`` beside the output, unless a path is given.

    Raises:
        InputError: Not a ``.png``, one of the clips or in the folder of one, exists already, or cannot be written.
    """
    path = given or output.with_name(f"{output.stem}_slice.png")
    if path.suffix.lower() != ".png":
        raise InputError(f"slice_image = '{path}': must be the name of a .png file")
    check_file(path, source, overwrite, output)
    return path
