"""Training and validation of a magnifier (the paper's Section 4.1)."""

from dataclasses import asdict

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from lightning_mm.classical.linear import magnify_linear
from lightning_mm.data.rendering import Pairs
from lightning_mm.errors import TrainingDivergedError
from lightning_mm.losses import LossConfig
from lightning_mm.metrics import LpipsNet, definitions, load_lpips, psnr, ssim
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.tasks.pairs import OptimizerConfig, PairTask, plain

FLOORS = ("frame_b", "linear_eulerian")


class MagnifyTask(PairTask):
    """Trains a magnifier.

    Args:
        arch: The architecture.
        loss: Weights of the loss terms.
        optim: Optimiser and schedule.
        lpips: Network of the LPIPS metric in validation, or "off". The paper uses "vgg". Where its weights cannot be
            had, the metric is reported as absent with the reason.
        compile: Compile encoder, manipulator and decoder with ``torch.compile``, in place: names in checkpoints stay.
            Meant for GPUs; on a processor a step takes longer (1.6 times, two cores of an AMD EPYC, torch 2.13).
    """

    def __init__(
        self,
        arch: MagnifierConfig = MagnifierConfig(),  # noqa: B008  (frozen)
        loss: LossConfig = LossConfig(),  # noqa: B008
        optim: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        lpips: LpipsNet = "off",
        compile: bool = False,
    ) -> None:
        super().__init__(loss, optim)
        hyperparameters = {"arch": arch.to_dict(), "loss": plain(asdict(loss)), "optim": plain(asdict(optim))}
        self.save_hyperparameters(hyperparameters | {"lpips": lpips})
        self.arch = arch
        self.magnifier = Magnifier(arch).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.lpips_net: LpipsNet = lpips
        if compile:
            for part in (self.magnifier.encoder, self.magnifier.manipulator, self.magnifier.decoder):
                part.compile()
        names = ("ssim", "psnr", "lpips")
        # By default the mean leaves NaN out, which would hide a network that has diverged.
        self.val_metrics = torch.nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in names})
        floors = {f"{f}_{n}": MeanMetric(nan_strategy="disable") for f in FLOORS for n in names}
        self.floor_metrics = torch.nn.ModuleDict(floors)
        self.absent: dict[str, str] = {"lpips": "not asked for"} if lpips == "off" else {}
        # Kept out of the module tree: its weights belong in no checkpoint.
        self._lpips: list[torch.nn.Module] = []

    @property
    def network(self) -> torch.nn.Module:
        """The magnifier."""
        return self.magnifier

    def setup(self, stage: str) -> None:
        """Load the LPIPS network, if it is asked for and can be had."""
        if self.lpips_net != "off" and not self._lpips:
            network, reason = load_lpips(self.lpips_net)
            if self._trainer is not None and self._trainer.world_size > 1:
                # Where one process has no network, the others must not wait for its values.
                everywhere = self._trainer.strategy.reduce_boolean_decision(network is not None)
                network, reason = (network, reason) if everywhere else (None, reason or "not on every process")
            self._lpips = [network] if network is not None else []
            self.absent = {} if network is not None else {"lpips": reason}

    def forward(self, frame_a: Tensor, frame_b: Tensor, alpha: Tensor | float) -> Tensor:
        """Magnify; see ``Magnifier.forward``."""
        return self.magnifier(frame_a, frame_b, alpha)

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        """Loss of one batch of pairs."""
        loss, terms, _ = self.pair_loss(self.magnifier, batch)
        value = self.log_loss(loss, terms)
        if not torch.isfinite(value):
            raise TrainingDivergedError(f"the loss became {float(value)} at step {self.global_step}")
        return loss

    def validation_step(self, batch: Pairs, batch_idx: int) -> None:
        """Metrics of the output."""
        output = self.magnifier(batch.frame_a, batch.frame_b, batch.alpha).float().clamp(-1.0, 1.0)
        self._measure("val", self.val_metrics, "", output, batch.target)

    def test_step(self, batch: Pairs, batch_idx: int) -> None:
        """As validation, and the floors: "return frame B" and linear Eulerian magnification."""
        output = self.magnifier(batch.frame_a, batch.frame_b, batch.alpha).float().clamp(-1.0, 1.0)
        self._measure("test", self.val_metrics, "", output, batch.target)
        floors = (batch.frame_b, magnify_linear(batch.frame_a, batch.frame_b, batch.alpha))
        for name, image in zip(FLOORS, floors, strict=True):
            self._measure("test", self.floor_metrics, f"{name}_", image, batch.target)

    def metric_definitions(self) -> dict[str, str]:
        """In words with a fingerprint, what each metric computes."""
        return definitions(self.lpips_net if not self.absent else "off")

    def _measure(self, stage: str, metrics: torch.nn.ModuleDict, prefix: str, output: Tensor, target: Tensor) -> None:
        values = {"ssim": ssim(output, target), "psnr": psnr(output, target)}
        counts = getattr(self.trainer.datamodule, "val_counts", True)  # pyright: ignore[reportAttributeAccessIssue]
        if self._lpips:
            network = self._lpips[0].to(output.device)
            with torch.autocast(output.device.type, enabled=False):
                values["lpips"] = network(output.float(), target.float()).reshape(-1)
        for name, value in values.items():
            metric = metrics[prefix + name]
            metric.update(value if counts else value[:0])  # pyright: ignore[reportCallIssue]
            shown = name == "ssim" and not prefix
            self.log(f"{stage}/{prefix}{name}", metric, prog_bar=shown, on_step=False, on_epoch=True)  # pyright: ignore
