"""Clips whose motion is known: rendering them, magnifying them in static mode, tracking and fitting what comes out."""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.degradation import round_stochastically
from lightning_mm.data.random import counter_uniform, sample_key
from lightning_mm.data.rendering import Scenes, render
from lightning_mm.data.scenes import KINDS, SceneConfig, SceneSampler
from lightning_mm.data.textures import dead_leaves
from lightning_mm.errors import InputError
from lightning_mm.evaluation.levels import collated
from lightning_mm.evaluation.methods import Method, streaming_method
from lightning_mm.magnification.frames import to_frame
from lightning_mm.measuring.motion import Motion
from lightning_mm.measuring.tracking import Tracker, require_opencv
from lightning_mm.method import Method as StreamingMethod
from lightning_mm.method import Signal
from lightning_mm.models.precision import exact_float32
from lightning_mm.video.colour import Frame

Displacement = NDArray[np.floating]
_SEED, _TEXTURES, _TEXELS = 20240601, 4, 1024
_DITHER = 7_002  # stream of the counter-based numbers that rounding takes


@functools.lru_cache(maxsize=1)
def broadband_bank() -> TextureBank:
    """Textures with detail at all scales, as photos have: dead leaves.

    On a texture of one scale alone, methods that shift phases look exact that are not.
    """
    images = []
    for index in range(_TEXTURES):
        rng = np.random.Generator(np.random.Philox(key=sample_key(_SEED, "broadband", index)))
        images.append(np.clip(np.rint(dead_leaves(rng, _TEXELS) * 255.0), 0, 255).astype(np.uint8))
    return TextureBank({"procedural": images, "procedural_blurred": [], "photo": [], "photo_blurred": []})


def textured_scene(
    number: int, size: int, photos: TextureBank | None, device: torch.device
) -> tuple[Scenes, TextureBank]:
    """A scene of nothing but a sharp texture that fills the frame, and its bank.

    Args:
        number: Which one.
        size: Side of the frames in pixels.
        photos: Bank to take a photo from; dead leaves when left out.
        device: Where it is to be rendered.
    """
    bank = (photos or broadband_bank()).to(device)
    sampler = SceneSampler(SceneConfig(photo_share=1.0), bank, size, _SEED, "clip", shot_noise=0.0)
    index = number * len(KINDS) + KINDS.index("background_only")
    return collated(sampler, bank, range(index, index + 1)), bank


@torch.no_grad()
def rendered_clip(
    scenes: Scenes,
    bank: TextureBank,
    size: int,
    displacement: Displacement,
    direction: tuple[float, float] = (1.0, 0.0),
) -> Iterator[Tensor]:
    """Exact frames of a scene that moves as a whole.

    Args:
        scenes: One scene.
        bank: Its textures.
        size: Side of the frames in pixels.
        displacement: (T,) px along the direction.
        direction: Unit vector (x, y).

    Yields:
        (1, 3, H, W) float32 in [-1, 1], not rounded.
    """
    still = {name: torch.zeros_like(scenes[name]) for name in ("linear", "wave")}
    towards = torch.tensor([direction[1], direction[0]], dtype=torch.float32, device=scenes["shift"].device)
    for moved in displacement:
        placed = {**scenes, **still, "shift": (float(moved) * towards).expand_as(scenes["shift"])}
        frame, _ = render(placed, bank, size, torch.ones_like(scenes["alpha"]))
        yield frame.clamp(-1.0, 1.0)


def quantised(frames: Iterable[Tensor], scenes: Scenes) -> list[Tensor]:
    """Frames (1, 3, H, W) in [-1, 1] rounded to 8 bits with dither, independently of each other.

    Args:
        frames: Exact ones.
        scenes: The scene they show, whose key the dither is drawn from.
    """
    return [
        round_stochastically(frame, counter_uniform(scenes["key"] + number, _DITHER, tuple(frame.shape[1:])))
        for number, frame in enumerate(frames)
    ]


def magnify_clip(method: Method, frames: Iterable[Tensor], alphas: Sequence[float]) -> Iterator[list[Tensor]]:
    """Magnify a clip in static mode, against its first frame, by several factors at once.

    Each frame is encoded once for all factors; methods that are nothing but functions are given frame pairs.

    Args:
        method: A method.
        frames: (1, 3, H, W) in [-1, 1] each.
        alphas: Total motion factors.

    Yields:
        For every frame its outputs (1, 3, H, W), one per factor.
    """
    streaming = streaming_method(method)
    step = _InPairs(method) if streaming is None else _EncodedOnce(streaming)
    for frame in frames:
        yield step(frame, alphas)


class _EncodedOnce:
    def __init__(self, method: StreamingMethod) -> None:
        self._method = method
        self._first: Signal | None = None

    @torch.inference_mode()
    def __call__(self, frame: Tensor, alphas: Sequence[float]) -> list[Tensor]:
        with exact_float32(frame.device.type):
            encoded = self._method.encode(frame)
            self._first = encoded.signal if self._first is None else self._first
            change = self._method.difference(self._first, encoded.signal)
            return [self._method.render(encoded, change, alpha) for alpha in alphas]


class _InPairs:
    def __init__(self, method: Method) -> None:
        self._method = method
        self._first: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, frame: Tensor, alphas: Sequence[float]) -> list[Tensor]:
        self._first = frame if self._first is None else self._first
        return [self._method(self._first, frame, frame.new_tensor([alpha])) for alpha in alphas]


def tracker_of(frame: Tensor | Frame, place: tuple[int, int, int, int] | None = None) -> Tracker | None:
    """Corners of a frame; ``None`` where it has none.

    Args:
        frame: (1, 3, H, W) in [-1, 1], or uint8 RGB (H, W, 3).
        place: Left, top, width and height in pixels of the region to look in; the whole frame when left out.

    Raises:
        InputError: OpenCV is not installed.
    """
    require_opencv()
    pixels = to_frame(frame) if isinstance(frame, Tensor) else frame
    try:
        return Tracker(pixels, place or (0, 0, pixels.shape[1], pixels.shape[0]), "frame")
    except InputError:
        return None


def track_frames(tracker: Tracker | None, frames: Iterable[Frame]) -> tuple[Displacement, int]:
    """Displacement (T, 2) as (x, y) px in every frame, NaN where no corner was found, and the fewest corners found."""
    nothing = (np.full(2, math.nan), 0)
    found = [nothing if tracker is None else tracker(frame) for frame in frames]
    return np.array([moved for moved, _ in found]).reshape(-1, 2), min((corners for _, corners in found), default=0)


class Sine:
    """Least-squares fit of a sine with harmonics and a constant to displacement over time.

    Args:
        displacement: (T,) or (T, D) px; rows with a NaN do not count.
        phase: (T,) phase of the fundamental in radians.
        harmonics: Number of sines, the fundamental first.
        trend: Whether to fit a straight line instead of the constant.

    Attributes:
        components: (harmonics, D) complex px, c for |c| sin(h phase + arg c).
        residual: Root mean square of what is left, px.
    """

    def __init__(
        self, displacement: Displacement, phase: Displacement, harmonics: int = 1, trend: bool = False
    ) -> None:
        values = displacement.reshape(len(displacement), -1)
        kept = np.isfinite(values).all(axis=1)
        orders = np.arange(1, harmonics + 1) * phase[kept, None]
        line = [np.linspace(-1.0, 1.0, len(phase))[kept, None]] if trend else []
        design = np.concatenate([np.sin(orders), np.cos(orders), np.ones((kept.sum(), 1)), *line], axis=1)
        fitted = np.linalg.lstsq(design, values[kept], rcond=None)[0]
        self.components = fitted[:harmonics] + 1j * fitted[harmonics : 2 * harmonics]
        self.residual = float(np.sqrt(np.mean(np.square(values[kept] - design @ fitted))))

    @property
    def amplitude(self) -> float:
        """Of the fundamental, px; in a plane the larger half axis of the ellipse."""
        parts = np.stack([self.components[0].real, self.components[0].imag])
        return float(np.linalg.norm(parts, ord=2))

    @property
    def direction(self) -> Displacement:
        """(D,) unit vector along the larger axis."""
        parts = np.stack([self.components[0].real, self.components[0].imag])
        return np.linalg.svd(parts)[2][0]

    @property
    def phase(self) -> float:
        """Of the fundamental along the first dimension, rad in (-pi, pi]."""
        return float(np.angle(self.components[0, 0]))

    @property
    def distortion(self) -> float:
        """Total harmonic distortion: the harmonics' amplitudes, root of the sum of squares, over the fundamental's."""
        amplitude = np.linalg.norm(self.components, axis=1)
        return float(np.linalg.norm(amplitude[1:]) / amplitude[0]) if amplitude[0] > 0.0 else math.nan


def enough(displacement: Displacement, unknowns: int) -> bool:
    """Whether at least half of the frames, and more than there are unknowns, have a displacement."""
    known = int(np.isfinite(displacement.reshape(len(displacement), -1)).all(axis=1).sum())
    return known > unknowns and 2 * known >= len(displacement)


def frequency_of(displacement: Displacement, fps: float) -> float:
    """Frequency in Hz of the strongest sine: the spectrum's peak, refined to the least squares of a sine and a line.

    Args:
        displacement: (T,) or (T, D) px, D of 1 or 2; gaps (NaN) are bridged for the spectrum and not fitted.
        fps: Frames per second.
    """
    values = displacement.reshape(len(displacement), -1)
    time = np.arange(len(values))
    bridged = np.stack([np.interp(time, time[ok], axis[ok]) for axis in values.T if (ok := np.isfinite(axis)).any()], 1)
    planar = np.concatenate([bridged, np.zeros((len(values), 2 - bridged.shape[1]))], axis=1)
    start, _ = Motion(planar, np.ones(len(values), int), fps).dominant()
    reach = fps / len(values)

    def rest(frequency: float) -> float:
        return Sine(values, 2.0 * math.pi * frequency * time / fps, trend=True).residual

    bounds = (max(start - reach, 1e-3 * reach), min(start + reach, 0.5 * fps))
    found: Any = minimize_scalar(rest, bounds=bounds, method="bounded", options={"xatol": 1e-6 * reach})
    return float(found.x)
