"""Everything that ``measure`` has found in a clip."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from lightning_mm.measuring.bands import Suggestion
from lightning_mm.measuring.comparing import Comparison
from lightning_mm.measuring.grid import GridMotion
from lightning_mm.measuring.motion import Motion
from lightning_mm.measuring.scale import Scale
from lightning_mm.measuring.spectrum import Peak, Spectrum
from lightning_mm.video.regions import Region


@dataclass(frozen=True)
class Findings:
    """What was measured.

    Attributes:
        source: What the clip is called.
        first: Its first frame, uint8 or uint16 RGB (H, W, 3).
        frames: Number of frames.
        fps: Frames per second.
        region: Left, top, width and height in pixels of the part that was looked at.
        scale: From pixels to millimetres.
        motion: Of the region as a whole, where that was asked for or no grid was.
        grid: Of the points of a grid, where there is one.
        magnified: Of the region in the magnified clip, where there is one.
        comparison: Between the two.
        searched: Whether a band to magnify was looked for.
        suggestion: The band, where one was found.
        slice: Slice picture, where one was asked for.
        partial: Why frames of a clip are missing, as one line; ``None`` when nothing is.
        warnings: One line each: what makes the measurement doubtful.
    """

    source: str
    first: NDArray[Any]
    frames: int
    fps: float
    region: Region
    scale: Scale
    motion: Motion | None = None
    grid: GridMotion | None = None
    magnified: Motion | None = None
    comparison: Comparison | None = None
    searched: bool = False
    suggestion: Suggestion | None = None
    slice: Image.Image | None = None
    partial: str | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Of the region, or of the points that were followed; ``None`` where nothing was."""
        if self.grid is not None:
            return self.grid.spectrum() if self.grid.followed.any() else None
        return None if self.motion is None else self.motion.spectrum()

    @cached_property
    def peaks(self) -> list[Peak]:
        """Components of the motion that stand out of the noise, the largest first."""
        if self.grid is not None:
            return self.grid.peaks() if self.grid.followed.any() else []
        return [] if self.motion is None else self.motion.peaks()
