"""Subpixel and noise tests (Oh et al., 2018, Section 5; levels as published with the axial model of the paper's lab).

Every layer of a scene moves by exactly the level's length in a direction of its own, in the noise test all but the
background, and alpha is 10 px divided by that length, so that every target shows 10 px of motion. Unlike training
pairs, B has the colours of A: alpha times a change of colour would hide everything else. Inputs are rounded to 8 bits
with dither, after noise where there is any; targets are exact. The published tests average 1,000 samples per level, on
other scenes, and leave out 3 px of the frame at each side (see ``stored``): compare curves of one kind only.
"""

import math
from collections.abc import Iterable, Iterator
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
from lightning_mm.evaluation.protocol import Bench, Grid, Row
from lightning_mm.metrics import definitions

TARGET_MOTION = 10.0
SUBPIXEL_MOTIONS: dict[Grid, tuple[float, ...]] = {
    "published": tuple(10.0 ** (-1.4 + 0.1 * k) for k in range(15)),
    "wide": tuple(10.0 ** (-2.0 + 0.1 * k) for k in range(21)),
}
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


def subpixel_levels(grid: Grid = "published") -> list[Level]:
    """Motions up to 1 px without noise: 15 from 0.04 px as published, or 21 from 0.01 px as the paper's text has it."""
    return [Level(motion) for motion in SUBPIXEL_MOTIONS[grid]]


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
    border: int = 0,
) -> list[dict[str, Any]]:
    """Mean SSIM of every method at every level, over the same scenes.

    Args:
        methods: By name.
        levels: Motions and noise factors.
        sampler: Draws the scenes, whose motion is replaced.
        bank: Their textures, on the device that renders and magnifies.
        samples: Scenes per level.
        batch_size: Scenes at a time.
        border: Pixels at each side that SSIM leaves out.

    Returns:
        A row for each level and method: "motion", "alpha", "noise", "method", "ssim", "ssim_error", "samples".
    """
    rows = []
    for level in levels:
        found = score(methods, level_pairs(level, sampler, bank, samples, batch_size), Scorer("off", border))
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


def curve_settings(bench: Bench, levels: Iterable[Level]) -> dict[str, Any]:
    """What the numbers of a curve depend on."""
    options = bench.options
    return {
        "samples": options.samples,
        "size": options.size,
        "textures": "photos" if options.photos else "procedural",
        "target_motion_px": TARGET_MOTION,
        "levels": len(list(levels)),
        "border_left_out_px": options.border,
        "ssim": definitions()["ssim"],
    }


def left_out(border: int) -> str:
    """Which part of the frames SSIM does not see, as a sentence; empty where it sees all."""
    return f" SSIM leaves out {border} px at each side." if border else ""


def beating(rows: list[Row], method: str, floor: str) -> int:
    """Number of levels at which a method's mean SSIM is above that of another."""
    found = {(row["method"], row["motion"], row["noise"]): row["ssim"] for row in rows}
    levels = {key[1:] for key in found}
    return sum(found[(method, *level)] > found[(floor, *level)] for level in levels)


def ends_and_middle(rows: list[Row], axis: str) -> tuple[list[float], dict[str, list[float]]]:
    """The first, middle and last level along an axis, and by method the SSIM there, for tables."""
    points = sorted({row[axis] for row in rows})
    chosen = [points[0], points[len(points) // 2], points[-1]]
    found = {(row["method"], row[axis]): row["ssim"] for row in rows}
    return chosen, {method: [found[method, at] for at in chosen] for method in dict.fromkeys(r["method"] for r in rows)}


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
