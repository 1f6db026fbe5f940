"""Measuring weights on the fixed validation sets, for their metadata."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_mm.classical.linear import magnify_linear
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.methods import FRAME_B, LINEAR, magnifying, return_frame_b
from lightning_mm.evaluation.pairs import Scorer, score
from lightning_mm.metrics import definitions
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights import load_weights


def measure(arch: MagnifierConfig, state: dict[str, Tensor], photos: Path | None) -> dict[str, Any]:
    """Metrics for ``WeightsInfo``: of "weights" and of the methods that need no training, on each set.

    Args:
        arch: The architecture.
        state: The weights.
        photos: Folder of the photo-based set; only the procedural one is measured when left out.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    magnifier = Magnifier(arch)
    load_weights(magnifier, state, "weights")
    methods = {"weights": magnifying(magnifier.to(device)), FRAME_B: return_frame_b, LINEAR: magnify_linear}
    scorer = Scorer("squeeze")
    found = {}
    for name, folder in {"procedural": None, "photos": photos}.items():
        if name == "photos" and photos is None:
            continue
        data = sets.validation_set(folder)
        scores = score(methods, sets.batches(data, device), scorer)
        found[name] = {
            "identity": data.validation_identity(),
            "definitions": definitions(scorer.lpips),
            "methods": {m: {k: v for k, v in one.items() if k in _KEPT} for m, one in scores.items()},
        }
    return found


_KEPT = ("ssim", "psnr", "lpips")
