"""Clips: one RGB frame after the other, in bounded memory, from whatever they are stored in or come from."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.video.colour import Colour, Frame
from lightning_mm.video.sound import SoundPart

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ACCEPTED = f"accepted: a video file, or a folder of images ({' '.join(IMAGE_SUFFIXES)})"
DEFAULT_FPS = Fraction(25)


class Clip(ABC):
    """Frames of one size at one rate. Iterating yields RGB arrays (H, W, 3); iterating again reads anew.

    Attributes:
        path: Where it was opened from; for messages, ``name`` is better.
        width: Pixels per row, after the rotation that the file asks for.
        height: Rows.
        depth: 8, frames are uint8 of 0..255, or 16, frames are uint16 of 0..65535, for sources of 9 to 16 bits. Grey
            sources have three equal channels.
        fps: Exact frame rate in frames per second.
        frames: Number of frames as far as it is known without reading them all; ``None`` where unknown.
        colour: How a copy of this clip should store its colours.
        sample_aspect: Width over height of one pixel.
        has_audio: Whether there is sound.
        sound: The sound that belongs to the frames, for a ``ClipWriter``; ``None`` where there is none, where it does
            not fit the frame rate, or where it cannot be read a second time.
        retimed: Whether ``fps`` was overridden, so that the sound does not fit the frames any more.
        variable_rate: Whether the file's frames are not evenly spaced in time.
        live: Whether the frames come in real time, from a camera.
        once: Whether it can be iterated once only, as a pipe.
        warnings: What a user should know from the start, in one line each.
        partial: After reading to the end: why frames are missing, as one line; ``None`` when nothing is.
    """

    path: Path
    width: int
    height: int
    depth: int = 8
    fps: Fraction
    frames: int | None
    colour: Colour
    sample_aspect: Fraction = Fraction(1)
    has_audio: bool = False
    retimed: bool = False
    variable_rate: bool = False
    live: bool = False
    once: bool = False
    warnings: tuple[str, ...] = ()
    partial: str | None = None

    @property
    def name(self) -> str:
        """What messages call it: the path, or the address without its password."""
        return str(self.path)

    @property
    def sound(self) -> SoundPart | None:
        """The sound that belongs to the frames."""
        return None

    @abstractmethod
    def __iter__(self) -> Generator[Frame]:
        """Yield one frame after the other, holding no more than the decoder's own few."""

    def stop(self) -> None:  # noqa: B027
        """Have a read that waits for data end soon, as if the clip ended there; may be called from another thread.

        Where nothing can be waited for without end, as in a file, it does nothing.
        """

    def since(self, number: int) -> Generator[Frame]:
        """Yield the frames from a number on, counted from 0; without decoding those before where that is exact."""
        with closing(iter(self)) as frames:
            for index, frame in enumerate(frames):
                if index >= number:
                    yield frame


def exact_rate(fps: float, option: str = "fps") -> Fraction:
    """The rational frame rate that a decimal stands for; 29.97 and its kin mean the NTSC rates, 30000/1001 and so on.

    Args:
        fps: Frames per second.
        option: What it was given as, for messages.

    Raises:
        InputError: Not finite, not positive, or beyond 10 million.
    """
    if not (math.isfinite(fps) and 0.001 <= fps <= 1e7):
        raise InputError(f"{option} = {fps}: must be a number between 0.001 and 10000000")
    ntsc = Fraction(1000 * round(fps * 1.001), 1001)
    if fps != round(fps) and ntsc > 0 and abs(float(ntsc) - fps) < 0.005:
        return ntsc
    return Fraction(fps).limit_denominator(1001)


def standard_rate(rate: Fraction) -> Fraction:
    """A rate as a container declares it; the NTSC rate, 60000/1001 and so on, where it is that but for rounding."""
    ntsc = Fraction(1000 * round(rate * Fraction(1001, 1000)), 1001)
    return ntsc if abs(rate - ntsc) < rate / 1_000_000 else Fraction(rate)


def natural(file: Path) -> list[int | str]:
    """Key that sorts "2.png" before "10.png"."""
    # Splitting at groups of digits puts them at the odd places, so that like is compared with like.
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", file.name.lower()))]
