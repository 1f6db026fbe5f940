"""An example whose motion is known: a beam that is clamped at its foot and sways by a fraction of a pixel."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from lightning_mm.video.colour import Frame
from lightning_mm.video.writer import ClipWriter

FREQUENCY, AMPLITUDE, FPS = 3.0, 0.4, 30
"""Of the tip: Hz; px, zero to peak. Frames per second."""
_SIZE, _WAVES, _EDGE, _NOISE = (240, 320), 32, 1.0, 0.7


class Beam:
    """Exact frames of a swaying beam before a still wall.

    Textures are sums of sines and edges are error functions of a continuous coordinate, so that a frame at any shift is
    sampled from the same scene. A row of the beam moves sideways by the tip's displacement times the square of its
    height over the foot.

    Args:
        size: (H, W) in pixels.
        seed: Of textures and noise.
    """

    def __init__(self, size: tuple[int, int] = _SIZE, seed: int = 0) -> None:
        height, width = self.size = size
        rng = np.random.default_rng(seed)
        self._noise = np.random.default_rng(seed + 1)
        self._wall = _Texture(rng, size, 0.05, (168.0, 160.0, 146.0), 34.0)(np.zeros(height))
        self._beam = _Texture(rng, size, 0.09, (66.0, 92.0, 122.0), 40.0)
        self._top, self._half = 0.1 * height, 0.09 * width

    def profile(self) -> NDArray[np.float64]:
        """(H,) share of the tip's displacement with which each row moves."""
        above = (0.95 * self.size[0] - np.arange(self.size[0]) - 0.5) / (0.95 * self.size[0] - self._top)
        return np.minimum(np.maximum(above, 0.0), 1.0) ** 2

    def exact(self, displacement: float) -> NDArray[np.float64]:
        """The scene with its tip moved to the right by so many pixels: (H, W, 3), levels of 0 to 255, not rounded."""
        height, width = self.size
        shift = displacement * self.profile()
        x = np.arange(width) - width / 2 - shift[:, None]
        inside = 0.5 * (erf((x + self._half) / _EDGE) - erf((x - self._half) / _EDGE))
        inside *= 0.5 * (1.0 + erf((np.arange(height)[:, None] - self._top) / _EDGE))
        return self._wall + inside[..., None] * (self._beam(shift) - self._wall)

    def frame(self, displacement: float) -> Frame:
        """As ``exact``, with noise, uint8."""
        scene = self.exact(displacement)
        return np.clip(np.rint(scene + self._noise.normal(0.0, _NOISE, scene.shape)), 0, 255).astype(np.uint8)


def write_example(path: Path, seconds: float = 4.0, size: tuple[int, int] = _SIZE) -> str:
    """Render the example.

    Args:
        path: The video to write.
        seconds: Its length.
        size: (H, W) in pixels.

    Returns:
        What is to be seen in it, in a line.
    """
    beam = Beam(size)
    with ClipWriter(path, size[1], size[0], Fraction(FPS), crf=4, overwrite=True) as writer:
        for number in range(round(seconds * FPS)):
            writer.write(beam.frame(AMPLITUDE * math.sin(2.0 * math.pi * FREQUENCY * number / FPS)))
    return (
        f"A rendered beam, clamped at its foot. Its tip sways at {FREQUENCY:g} Hz by {AMPLITUDE:g} px to either side, "
        "which can hardly be seen."
    )


class _Texture:
    """A smooth random pattern: sines of random waves, an octave to either side of a frequency in cycles per pixel."""

    def __init__(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        frequency: float,
        colour: tuple[float, float, float],
        contrast: float,
    ) -> None:
        radius = 2.0 * math.pi * frequency * 2.0 ** rng.uniform(-1.0, 1.0, _WAVES)
        angle, phase = rng.uniform(0.0, 2.0 * math.pi, (2, _WAVES))
        self._across = radius * np.cos(angle)
        self._down = np.exp(1j * (np.outer(np.arange(size[0]), radius * np.sin(angle)) + phase))
        waves = np.exp(1j * np.outer(self._across, np.arange(size[1])))
        shades = contrast * math.sqrt(2.0 / _WAVES) * rng.normal(1.0, 0.25, (_WAVES, 3))
        self._waves = (waves[..., None] * shades[:, None]).reshape(_WAVES, -1)
        self._colour = np.array(colour)

    def __call__(self, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """The pattern (H, W, 3), each row moved to the right by so many pixels (H,)."""
        moved = self._down * np.exp(-1j * np.outer(shift, self._across))
        return (moved @ self._waves).real.reshape(len(shift), -1, 3) + self._colour
