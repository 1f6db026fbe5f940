"""Synthetic validation (the paper's Section 4.1): SSIM, PSNR and LPIPS over a fixed set of pairs."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lightning_mm.data.rendering import Pairs
from lightning_mm.evaluation.methods import Method
from lightning_mm.metrics import LpipsNet, load_lpips, psnr, ssim


class Scorer:
    """Scores outputs per image.

    Args:
        lpips: Network of LPIPS, or "off".

    Attributes:
        absent: Reason for each metric that cannot be had.
    """

    def __init__(self, lpips: LpipsNet) -> None:
        self._network: torch.nn.Module | None = None
        self.absent: dict[str, str] = {"lpips": "not asked for"} if lpips == "off" else {}
        self.lpips: LpipsNet = "off"
        if lpips != "off":
            self._network, reason = load_lpips(lpips)
            self.absent = {"lpips": reason} if self._network is None else {}
            self.lpips = lpips if self._network is not None else "off"

    def __call__(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Each metric's values (B,) of outputs (B, 3, H, W), which are clamped, against targets in [-1, 1]."""
        output = output.float().clamp(-1.0, 1.0)
        values = {"ssim": ssim(output, target), "psnr": psnr(output, target)}
        if self._network is not None:
            values["lpips"] = self._network.to(output.device)(output, target.float()).reshape(-1)
        return values


@torch.inference_mode()
def score(methods: dict[str, Method], pairs: Iterable[Pairs], scorer: Scorer) -> dict[str, dict[str, Any]]:
    """Score every method on the same pairs.

    Args:
        methods: By name.
        pairs: Batches of pairs.
        scorer: Metrics.

    Returns:
        For each method the mean of each metric over all pairs, its standard error as NAME_error, and "pairs", the
        number of them.
    """
    values: dict[str, dict[str, list[Tensor]]] = {name: {} for name in methods}
    for batch in pairs:
        for name, method in methods.items():
            output = method(batch.frame_a, batch.frame_b, batch.alpha)
            for metric, found in scorer(output, batch.target).items():
                values[name].setdefault(metric, []).append(found.double().cpu())
    return {name: _summary({m: torch.cat(parts) for m, parts in found.items()}) for name, found in values.items()}


def _summary(values: dict[str, Tensor]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for metric, found in values.items():
        summary[metric] = found.mean().item()
        spread = found.std().item() if len(found) > 1 else math.nan
        summary[f"{metric}_error"] = None if math.isnan(spread) else spread / math.sqrt(len(found))
        summary["pairs"] = len(found)
    return summary
