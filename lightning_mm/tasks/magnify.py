"""Training and validation of a magnifier (the paper's Section 4.1; losses of Oh et al., 2018)."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from lightning_mm.classical.linear import magnify_linear
from lightning_mm.data.rendering import Pairs
from lightning_mm.errors import TrainingDivergedError
from lightning_mm.losses import LossConfig, MagnificationLoss
from lightning_mm.metrics import LpipsNet, definitions, load_lpips, psnr, ssim
from lightning_mm.models import Magnifier, MagnifierConfig

FLOORS = ("frame_b", "linear_eulerian")
_STATES = {"state_dict", "current_model_state"}  # with averaged weights, Lightning keeps the ones in training apart


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its learning-rate schedule.

    Args:
        lr: Peak learning rate. Oh et al. use 1e-4; the authors' PyTorch port 2e-4.
        betas: Adam's decay rates; the port uses (0.9, 0.9).
        warmup_steps: Steps over which the rate rises linearly from 0.
        schedule: After the warm-up: "constant"; "cosine" down to 1 % of ``lr`` at the last step; "exponential", times
            0.97 every 3,000 steps, as in the port.
    """

    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine", "exponential"] = "constant"

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        if not 0.0 < self.lr < 1.0:
            raise ValueError(f"OptimizerConfig.lr = {self.lr!r}: must be in (0, 1)")
        if len(self.betas) != 2 or not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"OptimizerConfig.betas = {self.betas!r}: must be two numbers in [0, 1)")
        if self.warmup_steps < 0:
            raise ValueError(f"OptimizerConfig.warmup_steps = {self.warmup_steps}: must be >= 0")

    def factor(self, step: int, total: int) -> float:
        """Learning rate at a step as a multiple of ``lr``; ``total`` is the number of steps of the whole training."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        if self.schedule == "exponential":
            return 0.97 ** (step // 3000)
        if self.schedule == "cosine":
            progress = min(1.0, (step - self.warmup_steps) / max(1, total - self.warmup_steps))
            return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress))
        return 1.0


class MagnifyTask(L.LightningModule):
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
        optim: OptimizerConfig = OptimizerConfig(),
        lpips: LpipsNet = "off",
        compile: bool = False,
    ) -> None:
        super().__init__()
        # Plain types only: a checkpoint is then readable by the weights-only unpickler.
        hyperparameters = {"arch": arch.to_dict(), "loss": _plain(asdict(loss)), "optim": _plain(asdict(optim))}
        self.save_hyperparameters(hyperparameters | {"lpips": lpips})
        self.arch, self.optim = arch, optim
        self.lpips_net: LpipsNet = lpips
        self.magnifier = Magnifier(arch).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if compile:
            for part in (self.magnifier.encoder, self.magnifier.manipulator, self.magnifier.decoder):
                part.compile()
        self.criterion = MagnificationLoss(loss)
        names = ("ssim", "psnr", "lpips")
        # By default the mean leaves NaN out, which would hide a network that has diverged.
        self.val_metrics = torch.nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in names})
        floors = {f"{f}_{n}": MeanMetric(nan_strategy="disable") for f in FLOORS for n in names}
        self.floor_metrics = torch.nn.ModuleDict(floors)
        self.absent: dict[str, str] = {"lpips": "not asked for"} if lpips == "off" else {}
        # Kept out of the module tree: its weights belong in no checkpoint.
        self._lpips: list[torch.nn.Module] = []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the weights of the frozen perceptual network out of checkpoints."""
        for name in _STATES & checkpoint.keys():
            checkpoint[name] = {k: v for k, v in checkpoint[name].items() if not k.startswith("criterion.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the perceptual network's own weights back, so that strict loading holds for everything else."""
        own = {k: v for k, v in self.state_dict().items() if k.startswith("criterion.")}
        for name in _STATES & checkpoint.keys():
            checkpoint[name] = {**checkpoint[name], **own}

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
        a, b, c = (self.magnifier.encode(frame) for frame in (batch.frame_a, batch.frame_b, batch.frame_c))
        shape = self.magnifier.manipulate(a.shape, b.shape, batch.alpha)
        output = self.magnifier.decode(b.texture, shape, (batch.target.shape[-2], batch.target.shape[-1]))
        loss, terms = self.criterion(output, batch.target, a, b, c, self.global_step)
        values = {"loss": loss, **terms._asdict()}
        if self._trainer is not None and self._trainer.world_size > 1:
            # What is logged is of the whole batch, and all ranks stop at a loss that is no number.
            means = self._trainer.strategy.reduce(torch.stack(list(values.values())).detach(), reduce_op="mean")
            values = dict(zip(values, means.unbind(), strict=True))
        if not torch.isfinite(values["loss"]):
            raise TrainingDivergedError(f"the loss became {float(values['loss'].detach())} at step {self.global_step}")
        self.log("train/loss", values.pop("loss"), prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in values.items()})
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

    def configure_optimizers(self) -> Any:
        """Adam with the schedule of ``OptimizerConfig``, stepped every training step."""
        optim = self.optim
        parameters = [p for p in self.magnifier.parameters() if p.requires_grad]
        # Under float16 a fused optimiser unscales gradients itself, which must come before clipping.
        fused = self.trainer.precision != "16-mixed"
        optimizer = torch.optim.Adam(parameters, lr=optim.lr, betas=(optim.betas[0], optim.betas[1]), fused=fused)

        def factor(step: int) -> float:
            # Asking for the number of steps makes the Trainer start the loader. At step 0, which does not depend on the
            # number, a resumed run does not know its epoch yet, and workers would fetch the first epoch's samples.
            return self.optim.factor(step, int(self.trainer.estimated_stepping_batches) if step > 0 else 1)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the Trainer does; it refuses fused optimisers in mixed precision, also where nothing is scaled."""
        if self.trainer.precision == "16-mixed" or not gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.magnifier.parameters(), gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(self.magnifier.parameters(), gradient_clip_val)

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


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    kinds = (int, float, str, bool, type(None))
    return {k: v if isinstance(v, kinds) else list(v) if isinstance(v, tuple) else str(v) for k, v in values.items()}
