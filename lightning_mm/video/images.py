"""Folders of images of 8 or 16 bits."""

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image, ImageOps
from PIL.Image import DecompressionBombError

from lightning_mm.errors import InputError
from lightning_mm.video.clip import ACCEPTED, DEFAULT_FPS, IMAGE_SUFFIXES, Clip, natural
from lightning_mm.video.colour import Colour, Frame, colour_of, turned
from lightning_mm.video.container import reason_of
from lightning_mm.video.pixels import ToRGB, as_depth

_EXIF_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_UNREADABLE = (OSError, ValueError, SyntaxError, DecompressionBombError, FFmpegError)

# How to turn an image by its EXIF orientation: swap rows and columns, then reverse rows, reverse columns.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class ImageFolder(Clip):
    """A folder of images of one size, in natural order of their names ("2.png" before "10.png").

    Transparency is left out: the colours are those stored below it. Where one image has 16 bits per channel, all frames
    are of 16 bits.

    Args:
        path: The folder. Other files in it, hidden files and folders are passed over.
        fps: Frame rate; 25 when left out.
    """

    def __init__(self, path: Path, fps: Fraction | None = None) -> None:
        self.path = path
        self.fps = fps or DEFAULT_FPS
        self._files = sorted(
            (f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.name[0] != "." and f.is_file()),
            key=natural,
        )
        if not self._files:
            raise InputError(f"{path}: no images in this folder; {ACCEPTED}")
        # Headers only: a folder of thousands is checked in a moment, before any work is done.
        headers = ((file, *_header(file)) for file in self._files)
        first, size, self.depth = next(headers)
        for file, other, depth in headers:
            self.depth = max(self.depth, depth)
            if other != size:
                sizes_are = f"{other[0]} x {other[1]} pixels, {first.name} {size[0]} x {size[1]}"
                raise InputError(f"{file}: {sizes_are}; all images of a folder must have one size")
        self.width, self.height = size
        self.frames = len(self._files)
        self.colour = Colour.usual(self.height)
        gap = _gap(self._files)
        self.warnings = () if gap is None else (f"{path}: {gap}; the images are taken as one after the other",)
        next(iter(self))  # the first must load as well, as in a video

    def __iter__(self) -> Generator[Frame]:
        """Load one image after the other."""
        return self.since(0)

    def since(self, number: int) -> Generator[Frame]:
        """Load the images from a number on."""
        for file in self._files[number:]:
            frame = as_depth(_load(file), self.depth)
            if frame.shape != (self.height, self.width, 3):
                raise InputError(f"{file}: its size changed while the folder was read")
            yield frame


def _gap(files: list[Path]) -> str | None:
    """What is missing where the names differ in one number only that otherwise grows in even steps."""
    names = [natural(file) for file in files]
    if len(names) < 3 or len({len(name) for name in names}) > 1:
        return None
    varying = [place for place in range(len(names[0])) if len({name[place] for name in names}) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return None
    numbers = np.array([name[varying[0]] for name in names], dtype=object)
    steps = np.diff(numbers)
    wide = np.flatnonzero(steps > steps.min())
    if not wide.size:
        return None
    at = int(wide[0])
    missing = int(sum(step // steps.min() - 1 for step in steps))
    return f"{missing} missing, the first between {files[at].name} and {files[at + 1].name}"


def _header(file: Path) -> tuple[tuple[int, int], int]:
    """Width and height as shown, and bits per channel: 8 or 16."""
    try:
        with Image.open(file) as image:
            depth = 16 if _bits(image) > 8 else 8
            if image.getexif().get(_EXIF_ORIENTATION, 1) > 4:
                # Loads it: formats differ in whether their size is turned already.
                image = ImageOps.exif_transpose(image)
            return (image.width, image.height), depth
    except _UNREADABLE as error:
        raise InputError(f"{file}: not a readable image ({reason_of(error)})") from None


def _bits(image: Any) -> int:
    """Bits per channel as stored, which Pillow does not tell of colour images: it cuts them down to 8."""
    if image.format == "PNG":
        with open(image.filename, "rb") as file:
            return file.read(25)[24]  # of the header chunk, which comes first
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, 8)
        return int(max(bits) if isinstance(bits, tuple) else bits)
    return 8


def _load(file: Path) -> Frame:
    """RGB (H, W, 3), uint16 where the file has more than 8 bits per channel."""
    try:
        with Image.open(file) as image:
            bits = _bits(image)
            if image.mode == "F" or bits > 16:
                kind = "floating-point" if image.mode == "F" else f"{bits}-bit"
                raise InputError(f"{file}: {kind} pixels; accepted: 8 or 16 bits per channel")
            if bits <= 8:
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
            turn = _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1), (False, False, False))
        return turned(_load_deep(file), *turn)
    except _UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a readable image ({reason_of(error)})") from None


def _load_deep(file: Path) -> Frame:
    # As an open file: in a name, FFmpeg would take "%d" for the numbers of a sequence.
    with file.open("rb") as opened, av.open(opened, "r") as container:
        image = next(container.decode(video=0))
        colour, source_range = colour_of(image)
        return ToRGB(16, colour, source_range)(image)
