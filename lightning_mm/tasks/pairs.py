"""What every training on pairs shares: losses, optimiser, schedule, clipping (losses of Oh et al., 2018)."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn

from lightning_mm.data.rendering import Pairs
from lightning_mm.losses import LossConfig, MagnificationLoss, Terms
from lightning_mm.models import Magnifier

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


class PairTask(L.LightningModule):
    """Base of the tasks that train on pairs.

    Args:
        loss: Weights of the loss terms.
        optim: Optimiser and schedule.
    """

    def __init__(self, loss: LossConfig, optim: OptimizerConfig) -> None:
        super().__init__()
        self.optim = optim
        self.criterion = MagnificationLoss(loss)

    @property
    def network(self) -> nn.Module:
        """What is trained."""
        raise NotImplementedError

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the weights of the frozen perceptual network out of checkpoints."""
        for name in _STATES & checkpoint.keys():
            checkpoint[name] = {k: v for k, v in checkpoint[name].items() if not k.startswith("criterion.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the perceptual network's own weights back, so that strict loading holds for everything else."""
        own = {k: v for k, v in self.state_dict().items() if k.startswith("criterion.")}
        for name in _STATES & checkpoint.keys():
            checkpoint[name] = {**checkpoint[name], **own}

    def pair_loss(self, magnifier: Magnifier, batch: Pairs) -> tuple[Tensor, Terms, Tensor]:
        """Loss of a batch of pairs, its terms, and the output."""
        a, b, c = (magnifier.encode(frame) for frame in (batch.frame_a, batch.frame_b, batch.frame_c))
        shape = magnifier.manipulate(a.shape, b.shape, batch.alpha)
        output = magnifier.decode(b.texture, shape, (batch.target.shape[-2], batch.target.shape[-1]))
        loss, terms = self.criterion(output, batch.target, a, b, c, self.global_step)
        return loss, terms, output

    def log_loss(self, loss: Tensor, terms: Terms) -> Tensor:
        """Log a loss and its terms, over all ranks; the loss over all ranks, which all of them can stop by."""
        values = {"loss": loss, **terms._asdict()}
        if self._trainer is not None and self._trainer.world_size > 1:
            means = self._trainer.strategy.reduce(torch.stack(list(values.values())).detach(), reduce_op="mean")
            values = dict(zip(values, means.unbind(), strict=True))
        self.log("train/loss", values["loss"], prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in values.items() if name != "loss"})
        return values["loss"].detach()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is optimised, in groups; one with a rate "lr" of its own keeps it throughout, without the schedule."""
        return [{"params": [p for p in self.network.parameters() if p.requires_grad]}]

    def configure_optimizers(self) -> Any:
        """Adam with the schedule of ``OptimizerConfig``, stepped every training step."""
        optim = self.optim
        groups = self.parameter_groups()
        has_own_rate = ["lr" in group for group in groups]  # Adam gives all of them one
        # Under float16 a fused optimiser unscales gradients itself, which must come before clipping.
        fused = self.trainer.precision != "16-mixed"
        optimizer = torch.optim.Adam(groups, lr=optim.lr, betas=(optim.betas[0], optim.betas[1]), fused=fused)

        def factor(step: int) -> float:
            # Asking for the number of steps makes the Trainer start the loader. At step 0, which does not depend on the
            # number, a resumed run does not know its epoch yet, and workers would fetch the first epoch's samples.
            return self.optim.factor(step, int(self.trainer.estimated_stepping_batches) if step > 0 else 1)

        factors = [(lambda step: 1.0) if own else factor for own in has_own_rate]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
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
            nn.utils.clip_grad_value_(self.network.parameters(), gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Plain types only, for checkpoints: they are then readable by the weights-only unpickler."""
    kinds = (int, float, str, bool, type(None))
    return {k: v if isinstance(v, kinds) else list(v) if isinstance(v, tuple) else str(v) for k, v in values.items()}
