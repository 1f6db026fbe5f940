"""Linearity test (the paper's Section 6.4 and Fig. 10): how far the output has really moved, against how far it should.

Whole rendered scenes are translated by a known length in a direction of their own; outputs are rounded to 8 bits and
corners of frame A are found again in them (Kanade-Lucas-Tomasi, as in the paper). "target" is the tracker's own error:
the same measurement of the exact target.
"""

import math
from typing import Any

import numpy as np
import torch

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.rendering import render_pairs
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.errors import InputError
from lightning_mm.evaluation.levels import Level, collated, moved_by
from lightning_mm.evaluation.methods import Method
from lightning_mm.video.magnify import to_frame
from lightning_mm.video.measuring import Tracker, require_opencv

MOTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
FACTORS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
LARGEST = 20.0
TARGET = "target"


def linearity_levels() -> list[Level]:
    """Motions of 0.05 to 1 px and total factors of 1 to 80, as far as their product is no more than 20 px."""
    return [Level(m, magnified=m * f) for m in MOTIONS for f in FACTORS if m * f <= LARGEST]


@torch.inference_mode()
def linearity(
    methods: dict[str, Method], levels: list[Level], sampler: SceneSampler, bank: TextureBank, samples: int
) -> list[dict[str, Any]]:
    """Displacement of every method's output at every level, over the same scenes.

    Args:
        methods: By name.
        levels: Motions and factors.
        sampler: Draws the scenes, whose motion is replaced.
        bank: Their textures, on the device that renders and magnifies.
        samples: Scenes per level.

    Returns:
        A row for each level and method, and for the method ``TARGET``: "motion", "alpha", "expected" (motion times
        alpha, px), "method", "measured" (mean of the displacement along the motion, px; ``None`` where nothing was
        found), "measured_error" (its standard error) and "samples" (those in which corners were found).

    Raises:
        InputError: OpenCV is not installed.
    """
    require_opencv()
    rows = []
    for level in levels:
        found: dict[str, list[float]] = {name: [] for name in (*methods, TARGET)}
        for index in range(samples):
            scenes = moved_by(collated(sampler, bank, range(index, index + 1)), level, together=True)
            pairs = render_pairs(scenes, bank, sampler.size)
            along = scenes["shift"][0, 0].double().cpu().numpy()[::-1] / level.motion  # (x, y), of length 1
            try:
                tracker = Tracker(to_frame(pairs.frame_a), (0, 0, sampler.size, sampler.size), f"scene {index}")
            except InputError:
                continue  # a scene without a corner
            outputs = {name: method(pairs.frame_a, pairs.frame_b, pairs.alpha) for name, method in methods.items()}
            for name, output in {**outputs, TARGET: pairs.target}.items():
                moved, corners = tracker(to_frame(output.float()))
                found[name] += [float(moved @ along)] if corners else []
        rows += [_row(level, name, values) for name, values in found.items()]
    return rows


def _row(level: Level, method: str, values: list[float]) -> dict[str, Any]:
    count = len(values)
    return {
        "motion": level.motion,
        "alpha": level.alpha,
        "expected": level.magnified,
        "method": method,
        "measured": float(np.mean(values)) if count else None,
        "measured_error": float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None,
        "samples": count,
    }
