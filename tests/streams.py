"""Methods that are easy to predict, clips that are easy to recognise, and textures whose motion is known exactly."""

from fractions import Fraction

import numpy as np
import torch

from lightning_mm.method import Encoded, Method
from lightning_mm.video.writer import ClipWriter


class Identity(Method):
    """Gives every frame back, and counts."""

    def __init__(self):
        self.encoded = 0

    def encode(self, frames):
        self.encoded += len(frames)
        return Encoded((frames,), frames, (frames.shape[-2], frames.shape[-1]))

    def render(self, encoded, change, alpha):
        return encoded.carrier


class Reference(Identity):
    """Gives the frame back that it compares with: the current one less the change."""

    def render(self, encoded, change, alpha):
        return encoded.carrier - change[0]


class Additive(Identity):
    """Adds the change of the pixels, as linear Eulerian magnification would without a pyramid.

    Args:
        frame_linear: Whether filters may run on frames.
    """

    def __init__(self, frame_linear=False):
        super().__init__()
        self.frame_linear = frame_linear

    def encode_change(self, change):
        return (change,)

    def render(self, encoded, change, alpha):
        return encoded.carrier + (alpha - 1.0) * change[0]


def noise(count, height=18, width=26, seed=0, dtype=np.uint8):
    top = np.iinfo(dtype).max + 1
    return list(np.random.default_rng(seed).integers(0, top, (count, height, width, 3), dtype=dtype))


def steps(count, height=16, width=32):
    """Flat frames, each recognisable after compression."""
    return [np.full((height, width, 3), 20 * i, np.uint8) for i in range(count)]


def written(path, frames, fps=Fraction(25), **options):
    """The writer that has written frames."""
    height, width = frames[0].shape[:2]
    with ClipWriter(path, width, height, fps, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return writer


def write(path, frames, fps=Fraction(25), **options):
    """Write frames in their own depth; gives the path."""
    written(path, frames, fps, depth=8 * frames[0].itemsize, **options)
    return path


def held(motion):
    """Bytes of the tensors that a motion holds on to, and of all that they hold on to."""
    seen, waiting, total = set(), [motion], 0
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            total += value.untyped_storage().nbytes()
        elif isinstance(value, np.ndarray):
            total += value.nbytes
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple, set)) or type(value).__name__ == "deque":
            waiting += list(value)
        elif hasattr(value, "__dict__"):
            waiting += list(vars(value).values())
    return total


class Waves:
    """A grey texture of plane waves, in double precision, whose displacement can be read off a frame again.

    All waves are fitted to the middle of a frame, where nothing comes in at the border; the phase of each gives the
    displacement along it, and a frame's displacement is the least-squares fit to all of them.

    Args:
        size: Side of the frames in pixels.
        count: Number of waves.
        longest: Longest wavelength in pixels.
        shortest: Shortest.
    """

    def __init__(self, size=96, count=24, longest=24.0, shortest=6.0, seed=0):
        generator = np.random.default_rng(seed)
        whole = [
            (u, v)
            for u in range(-size // 2, size // 2)
            for v in range(1, size // 2)
            if shortest <= size / np.hypot(u, v) <= longest
        ]
        chosen = generator.choice(len(whole), count, replace=False)
        self.size = size
        self.vectors = 2 * np.pi * np.array([whole[n] for n in chosen]) / size  # (count, 2) rad per px
        self.phases = generator.uniform(0, 2 * np.pi, count)
        self.amplitudes = generator.uniform(0.5, 1.0, count)
        self.amplitudes *= 0.2 / np.sqrt((self.amplitudes**2).sum() / 2)
        y, x = np.mgrid[:size, :size].astype(float)
        self.grid = np.stack([x, y], axis=-1) @ self.vectors.T  # (size, size, count)
        middle = slice(size // 4, size - size // 4)
        self.middle = (middle, middle)
        waves = self.grid[middle, middle].reshape(-1, count)
        self.fit = np.linalg.pinv(np.concatenate([np.cos(waves), np.sin(waves)], axis=1))

    def frame(self, dx, dy=0.0, dtype=np.uint16):
        """The texture moved by (dx, dy) px, RGB."""
        angle = self.grid - self.vectors @ np.array([dx, dy])
        image = np.cos(angle + self.phases) @ self.amplitudes
        top = np.iinfo(dtype).max
        grey = np.round(np.clip((image * 0.5 + 0.5) * top, 0, top)).astype(dtype)
        return np.repeat(grey[..., None], 3, axis=-1)

    def displacement(self, frame):
        """(dx, dy) in px of a frame, uint8 or uint16."""
        image = frame[self.middle].mean(axis=-1) / np.iinfo(frame.dtype).max * 2.0 - 1.0
        cosines, sines = np.split(self.fit @ image.ravel(), 2)
        # cos(w + p) = cos p cos w - sin p sin w
        turned = -np.angle((cosines - 1j * sines) * np.exp(-1j * self.phases))
        weights = self.amplitudes
        return np.linalg.lstsq(self.vectors * weights[:, None], turned * weights, rcond=None)[0]
