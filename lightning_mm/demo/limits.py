"""What the demo takes: larger files are refused, longer and larger clips are cut and made smaller, and it is said."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.video.clip import Clip
from lightning_mm.video.excerpt import excerpt

MOST_FRAMES = 1800
SMALLEST = 2


@dataclass(frozen=True)
class Limits:
    """Limits of a clip.

    Attributes:
        megabytes: Size of the file in units of 10^6 bytes.
        seconds: Length, as a player shows it.
        side: Larger side of the picture in pixels.
    """

    megabytes: float
    seconds: float
    side: int

    def __post_init__(self) -> None:
        for name, value, least in (("megabytes", self.megabytes, 0.1), ("seconds", self.seconds, 0.1)):
            if not (math.isfinite(value) and value >= least):
                raise InputError(f"max_{name} = {value:g}: must be a number, {least:g} or more")
        if self.side < 16:
            raise InputError(f"max_side = {self.side}: must be 16 pixels or more")

    @property
    def text(self) -> str:
        """One line for the page."""
        return (
            f"Files of up to {self.megabytes:g} MB. The first {self.seconds:g} s are taken, at most {MOST_FRAMES} "
            f"frames, and pictures are scaled down to {self.side} pixels on their larger side."
        )

    def check(self, path: Path) -> None:
        """Refuse a file that is too large.

        Raises:
            InputError: It is.
        """
        size = path.stat().st_size / 1e6
        if size > self.megabytes:
            raise InputError(f"{path.name}: {size:.1f} MB; accepted are files of up to {self.megabytes:g} MB")

    def within(self, clip: Clip) -> tuple[Clip, list[str]]:
        """The part of a clip that is taken, of even width and height, and a line for everything that was left out.

        Raises:
            InputError: The picture is too narrow.
        """
        name, notices = clip.path.name, []
        longest = min(Fraction(self.seconds).limit_denominator(1000) * clip.fps, Fraction(MOST_FRAMES))
        frames = max(1, int(longest))
        end = None
        if clip.frames is None or clip.frames > frames:
            end = float(frames / clip.fps)
            if clip.frames is not None:
                whole = float(clip.frames / clip.fps)
                notices.append(f"cut to its first {end:.4g} s ({frames} frames) of {whole:.4g} s")
        scale = min(1.0, self.side / max(clip.width, clip.height))
        part = excerpt(clip, None, end, None, scale if scale < 1.0 else None)
        if min(part.width, part.height) < SMALLEST:
            raise InputError(f"{name}: {clip.width} x {clip.height} pixels are too narrow for the demo")
        if scale < 1.0:
            notices.append(f"scaled from {clip.width} x {clip.height} to {part.width} x {part.height} pixels")
        even = part.width // 2 * 2, part.height // 2 * 2
        if even != (part.width, part.height):
            # H.264 that every browser plays has one colour for two by two pixels.
            part = excerpt(part, None, None, (0, 0, *even), None)
            notices.append(f"cut to {part.width} x {part.height} pixels, as browsers need even sizes")
        return part, notices
