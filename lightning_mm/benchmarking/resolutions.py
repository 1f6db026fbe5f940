"""Frame sizes by name, and the largest one that runs in real time (the paper's Appendix G, Table A8)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightning_mm.errors import InputError

REAL_TIME_FPS = 24.0
"""Frames per second from which on the paper calls a resolution real time (Table A8)."""

WIDTHS = {240: 426, 360: 640, 480: 854, 540: 960, 720: 1280, 1080: 1920, 1440: 2560, 2160: 3840}
"""Width of the 16:9 frame of each height; 426 and 854 are padded inside the network to its stride."""

_NAME = re.compile(r"(\d+)p|(\d+)x(\d+)")


@dataclass(frozen=True)
class Resolution:
    """A frame size.

    Attributes:
        name: Such as "540p", or "32x24" for width and height.
        width: Pixels.
        height: Pixels.
    """

    name: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.width * self.height


STANDARD = tuple(Resolution(f"{height}p", width, height) for height, width in WIDTHS.items())
FULL_HD = next(resolution for resolution in STANDARD if resolution.height == 1080)


def parse_resolutions(names: Sequence[str]) -> list[Resolution]:
    """Frame sizes of names, fewest pixels first.

    Raises:
        InputError: There is none, one is no resolution, or is there twice.
    """
    if not names:
        raise InputError(f"resolutions is empty: must be one or more of {_accepted()}")
    found = [_parse(name) for name in names]
    sizes = [(resolution.width, resolution.height) for resolution in found]
    for resolution in found:
        if sizes.count((resolution.width, resolution.height)) > 1:
            raise InputError(f"resolutions: {resolution.name} is there twice, must be there once")
    return sorted(found, key=lambda resolution: resolution.pixels)


def _parse(name: str) -> Resolution:
    match = _NAME.fullmatch(name)
    height = int(match[1]) if match and match[1] else None
    if height in WIDTHS:
        return next(resolution for resolution in STANDARD if resolution.height == height)
    if match and match[2] and int(match[2]) > 0 and int(match[3]) > 0:
        return Resolution(name, int(match[2]), int(match[3]))
    raise InputError(f"resolutions: '{name}': must be one of {_accepted()}")


def _accepted() -> str:
    return f"{', '.join(resolution.name for resolution in STANDARD)}, or WIDTHxHEIGHT in pixels"


@dataclass(frozen=True)
class Largest:
    """The largest resolution in real time among those measured.

    Attributes:
        resolution: It; ``None`` where none is.
        bounded: Whether a larger one was measured and is not in real time, so that it is known to be the largest.
    """

    resolution: Resolution | None
    bounded: bool

    @property
    def text(self) -> str:
        """In words."""
        if self.resolution is None:
            return "none of those measured" if self.bounded else "not measured"
        return self.resolution.name if self.bounded else f"{self.resolution.name}, none larger measured"


def largest_real_time(fps: Mapping[Resolution, float | None], rate: float = REAL_TIME_FPS) -> Largest:
    """The largest resolution with at least ``rate`` frames per second.

    Args:
        fps: Frames per second by resolution; ``None`` where it was not measured. Nothing is concluded from others.
        rate: Frames per second of real time.
    """
    measured = {resolution: value for resolution, value in fps.items() if value is not None}
    in_time = [resolution for resolution, value in measured.items() if value >= rate]
    largest = max(in_time, key=lambda resolution: resolution.pixels, default=None)
    slower = [r for r, value in measured.items() if value < rate and (largest is None or r.pixels > largest.pixels)]
    return Largest(largest, bool(slower))
