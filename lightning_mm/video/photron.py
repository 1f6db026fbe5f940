"""Raw recordings of Photron high-speed cameras: a header ``NAME.cih`` beside the pixels ``NAME.mraw``."""

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Colour, Frame
from lightning_mm.video.pixels import grey_table

SUFFIXES = (".cih", ".mraw")


class PhotronFile(Clip):
    """Monochrome frames of 8 or 16 bits, one after the other without compression.

    The rate is that of the saved frames: the record rate over the header's "Save Step", which says that every so many
    recorded frames one was saved.

    Args:
        path: The header or the pixels; the other of the two lies beside it.
        fps: Frame rate instead of the header's.
    """

    def __init__(self, path: Path, fps: Fraction | None = None) -> None:
        self.path = path
        self._pixels, header = path.with_suffix(".mraw"), path.with_suffix(".cih")
        for file in (self._pixels, header):
            if not file.is_file():
                raise InputError(f"{path}: its {file.suffix} file is missing: {file}")
        lines = header.read_text(encoding="utf-8", errors="replace").splitlines()
        self._fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        kind, bits = self._fields.get("Color Type", ""), self._number("Color Bit")
        if self._fields.get("File Format") != "MRaw" or kind != "Mono" or bits not in (8, 16):
            found = f"{self._fields.get('File Format')}, {kind}, {bits} bits"
            raise InputError(f"{header}: {found}; accepted: MRaw, Mono, 8 or 16 bits")
        self.width, self.height = self._number("Image Width"), self._number("Image Height")
        recorded, step = self._number("Record Rate(fps)"), self._number("Save Step", 1)
        rate = Fraction(recorded, step)
        self.fps, self.retimed = fps or rate, fps not in (None, rate)
        if step > 1 and fps is None:
            every = f"one of every {step} frames was saved of {recorded} per second"
            self.warnings = (f"{path}: {every}, so the clip has {float(rate):g} per second",)
        self._kind = np.dtype(np.uint8 if bits == 8 else "<u2")
        # 16-bit files hold the camera's 12 bits at either end of the word.
        lower = bits == 16 and self._fields.get("EffectiveBit Side") == "Lower"
        self.depth = bits
        self._table = grey_table(self._number("EffectiveBit Depth", 16) if lower else bits, self.depth)
        self._promised = self._number("Total Frame")
        self.frames = min(self._promised, self._pixels.stat().st_size // self._size)
        if not self.frames:
            raise InputError(f"{self._pixels}: not one whole frame of {self.width} x {self.height} in it")
        self.colour = Colour.usual(self.height)

    @property
    def _size(self) -> int:
        return self.width * self.height * self._kind.itemsize

    def _number(self, key: str, default: int | None = None) -> int:
        text = self._fields.get(key, "" if default is None else str(default))
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise InputError(f"{self.path.with_suffix('.cih')}: '{key}' = '{text}': must be a whole number >= 1")
        return int(text)

    def __iter__(self) -> Generator[Frame]:
        """Read one frame after the other."""
        return self.since(0)

    def since(self, number: int) -> Generator[Frame]:
        """Read the frames from a number on."""
        assert self.frames is not None
        with self._pixels.open("rb") as file:
            file.seek(number * self._size)
            for _ in range(number, self.frames):
                grey = np.frombuffer(file.read(self._size), self._kind).reshape(self.height, self.width)
                yield np.repeat(self._table[grey][..., None], 3, axis=2)
        if self.frames < self._promised:
            self.partial = f"{self.path}: cut short; {self.frames} of {self._promised} frames are there"
