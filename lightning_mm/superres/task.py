"""Training of MDSR (Lim et al., 2017), with or without switches that learn which of its blocks can go."""

from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric

from lightning_mm.errors import TrainingDivergedError
from lightning_mm.metrics import PSNR_CAP, psnr
from lightning_mm.models.switches import clamp_, penalty, switches_of
from lightning_mm.superres.data import ScalePairs, upscale
from lightning_mm.superres.mdsr import MDSR, SCALES
from lightning_mm.tasks import OptimizerConfig
from lightning_mm.tasks.prune import RemovalConfig

PSNR_DEFINITION = (
    "dB, RGB, output rounded to 8 bits, range 255, MSE over an image's channels and pixels without a border of as many "
    f"pixels as the scale, mean over images, capped at {PSNR_CAP:g}"
)


class SuperResolutionTask(L.LightningModule):
    """Trains MDSR on the L1 distance; where the network has switches, with the removal penalty.

    Args:
        network: The network; with ``Switch`` modules in it, their omegas are learned as well (Section 5.1).
        optim: Optimiser and schedule of the weights.
        removal: Weight and exponent of the penalty, and the learning rate of the omegas; for a network with switches.
    """

    def __init__(self, network: MDSR, optim: OptimizerConfig, removal: RemovalConfig | None = None) -> None:
        super().__init__()
        self.network, self.optim, self.removal = network, optim, removal
        self.switches = switches_of(network) if removal is not None else {}  # a plain dict: the network owns them
        means = {
            f"{who}_x{scale}": MeanMetric(nan_strategy="disable") for who in ("psnr", "bicubic") for scale in SCALES
        }
        self.means = torch.nn.ModuleDict(means)

    def training_step(self, batch: ScalePairs, batch_idx: int) -> Tensor:
        """Loss of one batch: L1, and the penalty of Eq. 5 where there are switches."""
        loss = F.l1_loss(self.network(batch.low, batch.scale).float(), batch.high)
        self.log("train/l1", loss, prog_bar=True)
        if self.removal is not None:
            removal = penalty(self.switches, self.removal.power)
            self.log("train/removal", removal.detach())
            loss = loss + self.removal.weight * removal
        if not torch.isfinite(loss.detach()):
            raise TrainingDivergedError(f"the loss became {loss.item()} at step {self.global_step}")
        return loss

    def on_train_batch_end(self, outputs: Any, batch: ScalePairs, batch_idx: int) -> None:
        """Project the omegas to [0, 1]."""
        clamp_(self.switches)

    def validation_step(self, batch: ScalePairs, batch_idx: int) -> None:
        """PSNR of the output."""
        self._measure("val", "psnr", self.network(batch.low, batch.scale).float(), batch)

    def test_step(self, batch: ScalePairs, batch_idx: int) -> None:
        """As validation, and PSNR of bicubic upscaling."""
        self._measure("test", "psnr", self.network(batch.low, batch.scale).float(), batch)
        self._measure("test", "bicubic", upscale(batch.low, batch.scale), batch)

    def configure_optimizers(self) -> Any:
        """Adam with the schedule of ``OptimizerConfig``; the omegas have a learning rate of their own."""
        omegas = [switch.omega for switch in self.switches.values()]
        own = {id(omega) for omega in omegas}
        weights = [parameter for parameter in self.network.parameters() if id(parameter) not in own]
        groups: list[dict[str, Any]] = [{"params": weights}]
        groups += [{"params": omegas, "lr": self.removal.lr}] if self.removal is not None else []
        optimizer = torch.optim.Adam(groups, lr=self.optim.lr, betas=self.optim.betas)

        def factor(step: int) -> float:
            return self.optim.factor(step, int(self.trainer.estimated_stepping_batches) if step > 0 else 1)

        factors = [factor, lambda step: 1.0][: len(groups)]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _measure(self, stage: str, who: str, output: Tensor, batch: ScalePairs) -> None:
        name = f"{who}_x{batch.scale}"
        metric = self.means[name]
        metric.update(cropped_psnr(output, batch.high, batch.scale))  # pyright: ignore[reportCallIssue]
        self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True)  # pyright: ignore[reportArgumentType]


def cropped_psnr(output: Tensor, target: Tensor, border: int) -> Tensor:
    """PSNR per image as super-resolution counts it, see ``PSNR_DEFINITION``.

    Args:
        output: (B, 3, H, W), clamped to [-1, 1].
        target: Same shape, whole 8-bit values.
        border: Pixels left out on each side.

    Returns:
        (B,) float32 in dB.
    """
    inner = (..., slice(border, -border), slice(border, -border))
    whole = ((output.clamp(-1.0, 1.0) + 1.0) * 127.5).round() / 127.5 - 1.0
    return psnr(whole[inner], target[inner])
