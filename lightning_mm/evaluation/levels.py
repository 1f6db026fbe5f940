"""Subpixel and noise tests (Oh et al., 2018, Section 5; levels as published with the axial model of the paper's lab).

Every layer of a scene moves by exactly the level's length in a direction of its own, in the noise test all but the
background, and alpha is 10 px divided by that length, so that every target shows 10 px of motion. Unlike training
pairs, B has the colours of A: alpha times a change of colour would hide everything else. Inputs are rounded to 8 bits
with dither, after noise where there is any; targets are exact. The published tests average 1,000 samples per level, on
other scenes, and leave out 8 px at each side: compare curves of one kind only.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import default_collate

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.random import counter_uniform
from lightning_mm.data.rendering import Pairs, Scenes, render_pairs
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.evaluation.methods import Method
from lightning_mm.evaluation.pairs import Scorer, score

TARGET_MOTION = 10.0
SUBPIXEL_MOTIONS = tuple(10.0 ** (-1.4 + 0.1 * k) for k in range(15))
NOISE_FACTORS = tuple(10.0 ** (-2.0 + 0.2 * k) for k in range(21))
NOISE_MOTIONS = (0.05, 5.0)
_DIRECTIONS = 7_001  # stream of the counter-based numbers that directions are drawn from


@dataclass(frozen=True)
class Level:
    """One point of a curve.

    Attributes:
        motion: Length of every layer's motion from A to B in pixels.
        noise: Factor n of the shot noise; its standard deviation is n * sqrt(I) at intensity I in [0, 255].
        magnified: Length of every layer's motion from A to the target in pixels.
        still_background: Whether only the layers in front move.
    """

    motion: float
    noise: float = 0.0
    magnified: float = TARGET_MOTION
    still_background: bool = False

    @property
    def alpha(self) -> float:
        """Total motion factor."""
        return self.magnified / self.motion


def subpixel_levels() -> list[Level]:
    """15 motions from 0.04 to 1 px, without noise."""
    return [Level(motion) for motion in SUBPIXEL_MOTIONS]


def noise_levels(motion: float) -> list[Level]:
    """21 noise factors from 0.01 to 100 at one motion, 0.05 or 5 px."""
    return [Level(motion, noise, still_background=True) for noise in NOISE_FACTORS]


def curve(
    methods: dict[str, Method],
    levels: list[Level],
    sampler: SceneSampler,
    bank: TextureBank,
    samples: int,
    batch_size: int = 4,
) -> list[dict[str, Any]]:
    """Mean SSIM of every method at every level, over the same scenes.

    Args:
        methods: By name.
        levels: Motions and noise factors.
        sampler: Draws the scenes, whose motion is replaced.
        bank: Their textures, on the device that renders and magnifies.
        samples: Scenes per level.
        batch_size: Scenes at a time.

    Returns:
        A row for each level and method: "motion", "alpha", "noise", "method", "ssim", "ssim_error", "samples".
    """
    rows = []
    for level in levels:
        found = score(methods, level_pairs(level, sampler, bank, samples, batch_size), Scorer("off"))
        rows += [
            {
                "motion": level.motion,
                "alpha": level.alpha,
                "noise": level.noise,
                "method": name,
                "ssim": values["ssim"],
                "ssim_error": values["ssim_error"],
                "samples": values["pairs"],
            }
            for name, values in found.items()
        ]
    return rows


def level_pairs(
    level: Level, sampler: SceneSampler, bank: TextureBank, samples: int, batch_size: int = 4
) -> Iterator[Pairs]:
    """The pairs of one level, in batches."""
    for start in range(0, samples, batch_size):
        scenes = collated(sampler, bank, range(start, min(start + batch_size, samples)))
        yield render_pairs(moved_by(scenes, level), bank, sampler.size)


def collated(sampler: SceneSampler, bank: TextureBank, indices: range) -> Scenes:
    """A batch of scenes on the bank's device."""
    scenes = default_collate([sampler(index) for index in indices])
    return {name: value.to(bank.texels.device) for name, value in scenes.items()}


def moved_by(scenes: Scenes, level: Level, together: bool = False) -> Scenes:
    """The same scenes, translated by the level's motion.

    Args:
        scenes: Collated scenes.
        level: Length, factor and noise.
        together: Whether all layers move as the background does; else each in a uniform direction of its own.
    """
    layers = scenes["texture"].shape[1]
    angle = 2.0 * math.pi * counter_uniform(scenes["key"], _DIRECTIONS, (layers,))
    angle = angle[:, :1].expand(-1, layers) if together else angle
    shift = level.motion * torch.stack([angle.sin(), angle.cos()], dim=-1)
    if level.still_background:
        shift[:, 0] = 0.0
    still = {name: torch.zeros_like(scenes[name]) for name in ("linear", "wave", "perturbation")}
    noise = torch.full_like(scenes["noise"], level.noise)
    return {**scenes, **still, "shift": shift, "noise": noise, "alpha": torch.full_like(scenes["alpha"], level.alpha)}
