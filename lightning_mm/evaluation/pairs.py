"""Synthetic validation (the paper's Section 4.1): SSIM, PSNR and LPIPS over a fixed set of pairs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lightning_mm.data.rendering import Pairs
from lightning_mm.evaluation.methods import Method, titles
from lightning_mm.evaluation.protocol import Bench, Record, Row, Shown, mean_and_error, number
from lightning_mm.evaluation.sets import batches
from lightning_mm.metrics import LpipsNet, definitions, load_lpips, psnr, ssim

METRICS = {"ssim": ("SSIM", 4), "psnr": ("PSNR [dB]", 2), "lpips": ("LPIPS", 4)}
"""Title and digits of each metric."""


class Scorer:
    """Scores outputs per image.

    Args:
        lpips: Network of LPIPS, or "off".
        border: Pixels at each side that are left out.

    Attributes:
        absent: Reason for each metric that cannot be had.
    """

    def __init__(self, lpips: LpipsNet, border: int = 0) -> None:
        self.border = border
        self._network: torch.nn.Module | None = None
        self.absent: dict[str, str] = {"lpips": "not asked for"} if lpips == "off" else {}
        self.lpips: LpipsNet = "off"
        if lpips != "off":
            self._network, reason = load_lpips(lpips)
            self.absent = {"lpips": reason} if self._network is None else {}
            self.lpips = lpips if self._network is not None else "off"

    def __call__(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Each metric's values (B,) of outputs (B, 3, H, W), which are clamped, against targets in [-1, 1]."""
        inner = slice(self.border, -self.border or None)
        output, target = (image.float()[..., inner, inner] for image in (output, target))
        output = output.clamp(-1.0, 1.0)
        values = {"ssim": ssim(output, target), "psnr": psnr(output, target)}
        if self._network is not None:
            values["lpips"] = self._network.to(output.device)(output, target).reshape(-1)
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


def run(bench: Bench) -> Record:
    """The "pairs" protocol."""
    scorer = Scorer(bench.options.lpips)
    rows: list[Row] = []
    shown, identities = [], {}
    for name, data in bench.sets.items():
        identity = identities[name] = data.validation_identity()
        bench.say(f"pairs, {name}: {len(bench.methods)} methods on {identity['pairs']} pairs of {data.val_size} px")
        found = score(bench.methods, batches(data, bench.device), scorer)
        rows += [{"set": name, "method": method, **values} for method, values in found.items()]
        title = f"{name}: {identity['pairs']} pairs of {data.val_size} x {data.val_size} px [{identity['digest']}]"
        cells = [(titles(found)[method], *_cells(values)) for method, values in found.items()]
        shown.append(Shown(title, ("method", *(title for title, _ in METRICS.values())), cells))
    summary: dict[str, dict[str, float | None]] = {method: {} for method in bench.methods}
    for row in rows:
        summary[row["method"]] |= {f"{row['set']}_{metric}": row[metric] for metric in METRICS if metric in row}
    return Record(
        heading="Validation sets",
        about="Quality on fixed sets of synthetic pairs with known targets (Section 4.1): mean over pairs ± its "
        "standard error.",
        settings={"sets": identities, "definitions": definitions(scorer.lpips)},
        tables={"pairs": rows},
        summary=summary,
        shown=shown,
        left_out=scorer.absent,
    )


def _cells(values: dict[str, Any]) -> list[str]:
    return [number(values.get(m), digits, values.get(f"{m}_error")) for m, (_, digits) in METRICS.items()]


def _summary(values: dict[str, Tensor]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for metric, found in values.items():
        summary[metric], summary[f"{metric}_error"] = mean_and_error(found.tolist())
        summary["pairs"] = len(found)
    return summary
