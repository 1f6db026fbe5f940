"""The subpixel test of finalists: a network that copies its input has a high SSIM and magnifies nothing."""

from pathlib import Path
from typing import Any

import torch

from lightning_mm.evaluation.levels import Level, curve
from lightning_mm.evaluation.methods import FRAME_B, magnifying, return_frame_b
from lightning_mm.evaluation.sets import validation_set
from lightning_mm.recording import LAST
from lightning_mm.weights import load_magnifier

MOTIONS, MAGNIFIED = (0.1, 0.2, 0.5, 1.0), 4.0
_SIZE, _SAMPLES = 96, 16


def subpixel_rows(runs: dict[str, Path]) -> list[dict[str, Any]]:
    """SSIM where every layer moves by 0.1 to 1 px and is to be magnified to 4 px, beside returning frame B.

    Oh et al. (2018) magnify to 10 px; 4 px is within what short trainings on small frames can learn.

    Args:
        runs: Name to the directory of a run.

    Returns:
        Rows as of ``evaluation.levels.curve``.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    methods = {name: magnifying(load_magnifier(str(run / LAST)).to(device)) for name, run in runs.items()}
    sampler, bank = validation_set(None, _SAMPLES, _SIZE).validation_scenes()
    levels = [Level(motion, magnified=MAGNIFIED) for motion in MOTIONS]
    return curve({**methods, FRAME_B: return_frame_b}, levels, sampler, bank.to(device), _SAMPLES)
