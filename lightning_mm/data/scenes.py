"""Scenes as numbers: what a training pair shows and how it moves, drawn from (seed, split, index) alone.

After Oh et al. (2018): a background and up to 15 foreground objects, each with its own motion, one magnification
factor per pair; five kinds of scene in equal shares. A scene is a dictionary of small tensors; ``rendering`` turns a
batch of them into frames, so a loader worker or a resumed run needs no more than the index.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.random import sample_key

KINDS = ("full", "blurred_background", "background_only", "static", "foreground_only")
HARMONICS = 6
BLOB, POLYGON, BOX = 0, 1, 2
_REFERENCE_SIZE = 384.0
_MAX_ROTATION = 0.1  # rad, magnified: beyond it a linearly scaled rotation is visibly no rotation


@dataclass(frozen=True)
class SceneConfig:
    """Ranges that scenes are drawn from. Lengths are in pixels of the frame.

    Args:
        max_objects: Most foreground objects in a frame of 384 px; the count is uniform from half of that upwards and
            shrinks with the frame's side, so that density stays.
        object_radius: Smallest and largest radius of an object (log-uniform); capped at 0.45 of the frame.
        max_alpha: Largest total motion factor; half of the draws are uniform in 1 to this, half log-uniform in 2 to
            this.
        max_magnified_motion: Largest displacement in the target: of a layer's shift or, where it turns, at its radius.
            One layer in 200 goes beyond it, where a deformation, a wave or the frame's corner adds to that.
        max_input_motion: Largest displacement between frames A and B, in the same sense.
        colour_std: Standard deviation of the additive colour perturbation of B and the target, in grey levels of 255.
        photo_share: Share of layers textured with photos, where the bank holds any.
    """

    max_objects: int = 15
    object_radius: tuple[float, float] = (16.0, 90.0)
    max_alpha: float = 100.0
    max_magnified_motion: float = 30.0
    max_input_motion: float = 10.0
    colour_std: float = 10.0
    photo_share: float = 0.75

    def __post_init__(self) -> None:
        """Refuse ranges that no scene can be drawn from."""
        low, high = self.object_radius
        checks = {
            "max_objects": (self.max_objects >= 1, ">= 1"),
            "object_radius": (0 < low <= high, "two lengths, 0 < smallest <= largest"),
            "max_alpha": (self.max_alpha >= 2, ">= 2"),
            "max_magnified_motion": (self.max_magnified_motion > 0, "> 0"),
            "max_input_motion": (self.max_input_motion > 0, "> 0"),
            "colour_std": (self.colour_std >= 0, ">= 0"),
            "photo_share": (0 <= self.photo_share <= 1, "in [0, 1]"),
        }
        for name, (accepted, expected) in checks.items():
            if not accepted:
                raise ValueError(f"SceneConfig.{name} = {getattr(self, name)!r}: must be {expected}")


class SceneSampler:
    """Draws scenes by index.

    Args:
        config: Ranges.
        bank: Textures to choose from; only its groups and texture sizes are used.
        size: Side of the square frame in pixels.
        seed: Base seed.
        split: "train", "val" or "search": separate sample spaces of one seed.
        shot_noise: Largest strength of the inputs' shot noise, drawn uniformly from 0 to this per frame; 0 for none.
    """

    def __init__(
        self, config: SceneConfig, bank: TextureBank, size: int, seed: int, split: str, shot_noise: float = 0.3
    ) -> None:
        self.config, self.size, self.seed, self.split, self.shot_noise = config, size, seed, split, shot_noise
        self.groups = bank.groups
        self.heights, self.widths = bank.height.tolist(), bank.width.tolist()
        self.layers = 1 + max(1, round(config.max_objects * min(1.0, size / _REFERENCE_SIZE)))

    def __call__(self, index: int) -> dict[str, Tensor]:
        """Scene number ``index``.

        Returns:
            Tensors by name; K is the number of layers, back to front, background first, unused ones inactive.
            Scene: "alpha" (), "key" () int64, "noise" (3,) strengths for A, B, C.
            Layers: "active" (K,) bool, "centre" (K, 2) px (y, x).
            Texture: "texture" (K,) int64, "origin" (K, 2) int64 texel (row, column) at the layer's centre,
            "flip" (K, 2, 2), "gain" and "offset" (K, 3) of its colours, "perturbation" (K, 3) of B and target.
            Motion: "shift" (K, 2) px, "linear" (K, 2, 2), "wave" (K, 5): amplitude (y, x) px, wave vector (y, x)
            rad/px, phase.
            Outline: "outline" (K,) int64, "rotation" (K, 2, 2), "half" (K, 2) px half axes, "harmonics"
            (K, 2, HARMONICS) amplitude and phase, "sides" (K,), "softness" (K,) px.
        """
        key = sample_key(self.seed, self.split, index)
        draw = _Draw(key)
        config, k = self.config, self.layers
        kind = KINDS[index % len(KINDS)]
        alpha = float(self._alpha(draw))

        active = np.zeros(k, bool)
        active[0] = True
        if kind != "background_only":
            most = k - 1
            active[1 : 1 + max(1, math.ceil(most * (0.5 + 0.5 * draw())))] = True
        else:
            draw()

        radius = self._radii(draw)
        scene: dict[str, Any] = {"alpha": np.float32(alpha), "key": np.int64(key), "active": active}
        scene["noise"] = self.shot_noise * draw(3)
        scene |= self._appearance(draw, kind, radius)
        scene |= self._outline(draw, radius)
        moving = np.ones(k, bool)
        if kind == "static":
            moving[:] = False
        elif kind == "foreground_only":
            moving[0] = False
        scene |= self._motion(draw, alpha, radius, moving)
        scene["perturbation"] = draw.normal(k, 3) * (config.colour_std / 127.5)
        return {name: _tensor(value) for name, value in scene.items()}

    def _alpha(self, draw: "_Draw") -> float:
        largest = self.config.max_alpha
        uniform, choice = draw(), draw()
        return 1.0 + uniform * (largest - 1.0) if choice < 0.5 else 2.0 * (largest / 2.0) ** uniform

    def _radii(self, draw: "_Draw") -> np.ndarray:
        low, high = (min(r, 0.45 * self.size) for r in self.config.object_radius)
        radius = low * (high / low) ** draw(self.layers)
        radius[0] = 0.5 * self.size
        return radius

    def _appearance(self, draw: "_Draw", kind: str, radius: np.ndarray) -> dict[str, Any]:
        k = self.layers
        texture = [
            self._texture(draw(), draw(), blurred=layer == 0 and kind == "blurred_background") for layer in range(k)
        ]
        place, orientation = draw(k, 2), draw(k, 3)
        texture_size = np.array([[self.heights[t], self.widths[t]] for t in texture])
        # Where the texture is large enough, the layer is cut from inside it and shows no mirror image.
        margin = np.minimum(2.0 * radius[:, None], 0.5 * texture_size)
        origin = (margin + place * (texture_size - 2.0 * margin)).astype(np.int64)
        flip = np.zeros((k, 2, 2))
        for layer, (turn, up, left) in enumerate(orientation):
            # Photos keep gravity: only procedural textures may be turned by 90 degrees or stood on their heads.
            weightless = texture[layer] in self.groups["procedural"]
            flip[layer] = np.array([[0, 1], [1, 0]] if weightless and turn < 0.5 else [[1, 0], [0, 1]])
            flip[layer] *= [[-1 if weightless and up >= 0.5 else 1], [1 if left < 0.5 else -1]]
        gain = (1.0 - 0.6 * draw(k, 1) ** 2) * (1.0 + 0.2 * (draw(k, 3) - 0.5))
        offset = 0.5 * (draw(k, 1) - 0.5) * (1.2 - gain)
        return {
            "texture": np.array(texture),
            "origin": origin,
            "flip": flip,
            "gain": gain,
            "offset": offset,
        }

    def _texture(self, choice: float, which: float, blurred: bool) -> int:
        suffix = "_blurred" if blurred else ""
        photos, procedural = self.groups["photo" + suffix], self.groups["procedural" + suffix]
        use_photo = len(photos) > 0 and (choice < self.config.photo_share or len(procedural) == 0)
        group = photos if use_photo else procedural
        return group[int(which * len(group))]

    def _outline(self, draw: "_Draw", radius: np.ndarray) -> dict[str, Any]:
        k = self.layers
        # Multiples of 1/64 px keep every coordinate exact in float32, and with it an integer shift.
        centre = np.round(draw(k, 2) * self.size * 64.0) / 64.0
        centre[0] = np.round(self.size * 32.0) / 64.0
        kinds = draw(k)
        outline = np.select([kinds < 0.5, kinds < 0.75], [BLOB, POLYGON], BOX)
        aspect = 1.0 - 0.6 * draw(k)
        # One object in eight is a bar or a string, as thin as a pixel.
        thin = draw(k) < 0.125
        outline, aspect = np.where(thin, BOX, outline), np.where(thin, (0.6 + 2.5 * draw(k)) / radius, aspect)
        half = np.stack([radius * np.where(thin, 2.0, 1.0), radius * aspect], axis=1)
        amplitude = 0.35 * draw(k, HARMONICS) / np.arange(1, HARMONICS + 1)
        harmonics = np.stack([amplitude, 2.0 * math.pi * draw(k, HARMONICS)], axis=1)
        angle = 2.0 * math.pi * draw(k)
        return {
            "centre": centre,
            "outline": outline,
            "half": half,
            "harmonics": harmonics,
            "sides": 3.0 + np.floor(4.0 * draw(k)),
            "softness": 0.7 + 0.6 * draw(k),
            "rotation": _rotation(angle),
        }

    def _motion(self, draw: "_Draw", alpha: float, radius: np.ndarray, moving: np.ndarray) -> dict[str, Any]:
        k, config = self.layers, self.config
        uniform, choice = draw(k), draw(k)
        # Cubing makes small motions, which magnification is for, frequent.
        magnified = config.max_magnified_motion * np.where(choice < 0.7, uniform, uniform**3)
        length = np.minimum(magnified / alpha, config.max_input_motion) * moving
        direction = 2.0 * math.pi * draw(k)
        unit = np.stack([np.sin(direction), np.cos(direction)], axis=1)
        kind = draw(k)
        turns, strains = (kind >= 0.6) & (kind < 0.85), kind >= 0.85
        rate = np.minimum(length / radius, _MAX_ROTATION / alpha)[:, None, None]
        spin = np.where(draw(k) < 0.5, -1.0, 1.0)[:, None, None] * np.array([[0.0, 1.0], [-1.0, 0.0]])
        strain = draw(k, 2, 2) - 0.5
        linear = rate * (spin * turns[:, None, None] + 2.0 * strain * strains[:, None, None])
        shift = length[:, None] * unit * np.where(turns, 0.0, np.where(strains, 0.5, 1.0))[:, None]
        # A wave on top of the rigid motion; its slope, magnified, stays below 1/2, so that nothing folds over.
        waving, wavelength = draw(k) < 0.2, 40.0 * 5.0 ** draw(k)
        number, heading = 2.0 * math.pi / wavelength, 2.0 * math.pi * draw(k)
        amplitude = np.minimum(0.3 * length, 0.5 / (alpha * number)) * waving
        wave = np.stack(
            [
                amplitude * unit[:, 1],
                -amplitude * unit[:, 0],
                number * np.sin(heading),
                number * np.cos(heading),
                2.0 * math.pi * draw(k),
            ],
            axis=1,
        )
        return {"shift": shift, "linear": linear, "wave": wave}


class _Draw:
    """Uniform numbers from one sample's stream; only by ``random()``, whose bits are stable across NumPy versions."""

    def __init__(self, key: int) -> None:
        self._rng = np.random.Generator(np.random.Philox(key=key))

    def __call__(self, *shape: int) -> Any:
        return self._rng.random(shape) if shape else self._rng.random()

    def normal(self, *shape: int) -> np.ndarray:
        return np.sqrt(-2.0 * np.log(1.0 - self(*shape))) * np.cos(2.0 * math.pi * self(*shape))


def _rotation(angle: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _tensor(value: Any) -> Tensor:
    array = np.asarray(value)
    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float64 else array.copy())
