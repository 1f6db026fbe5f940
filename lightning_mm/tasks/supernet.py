"""Training of a supernet: at each step one network of the space, or a sandwich of them."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric

from lightning_mm.data.rendering import Pairs
from lightning_mm.errors import TrainingDivergedError
from lightning_mm.losses import LossConfig, Terms
from lightning_mm.metrics import ssim
from lightning_mm.models.supernet import Initialisation, SuperNet
from lightning_mm.spaces import Genotype, SearchSpace, path_rng
from lightning_mm.tasks.pairs import OptimizerConfig, PairTask, plain

PROBES = ("largest", "smallest", "random_1", "random_2")
_PROBE_SEED = 2020


@dataclass(frozen=True)
class PathOptions:
    """Which networks of a supernet a step trains.

    Args:
        rule: "uniform": one, uniformly (Guo et al., 2020). "capped": one below ``max_gflops``. "sandwich": the largest,
            the smallest and two below ``max_gflops`` at costs that spread, their losses averaged (Yu et al., 2020).
        max_gflops: Cap in 1e9 of the paper's FLOPs; none where left out.
        distil: For "sandwich", weight of the L1 distance to the largest network's output, relative to the true loss,
            once ``distil_from`` of the training is over.
        distil_from: Share of the training before that: early, the largest network is no good teacher.
    """

    rule: Literal["uniform", "capped", "sandwich"] = "uniform"
    max_gflops: float | None = None
    distil: float = 0.0
    distil_from: float = 1 / 3

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.rule == "capped" and self.max_gflops is None:
            raise ValueError("PathOptions.rule = capped: needs max_gflops")
        if self.rule == "uniform" and self.max_gflops is not None:
            raise ValueError("PathOptions.rule = uniform: sees no max_gflops; use capped")
        if self.distil < 0 or (self.distil > 0 and self.rule != "sandwich"):
            raise ValueError(f"PathOptions.distil = {self.distil}: must be >= 0, and 0 unless rule = sandwich")
        if not 0.0 <= self.distil_from <= 1.0:
            raise ValueError(f"PathOptions.distil_from = {self.distil_from}: must be in [0, 1]")

    def draw(self, space: SearchSpace, seed: int, step: int) -> list[Genotype]:
        """The networks of a step: a function of (seed, step), so the same on every rank and after resuming."""
        rng = path_rng(seed, step)
        if self.rule != "sandwich":
            return [space.sample(rng, self.max_gflops)]
        spread = [space.sample(rng, self.max_gflops, spread=True) for _ in range(2)]
        return [space.largest(rng), *spread, space.smallest(rng)]


class SupernetTask(PairTask):
    """Trains a supernet.

    Args:
        space: The search space.
        paths: Which networks a step trains.
        loss: Weights of the loss terms.
        optim: Optimiser and schedule.
        initialisation: See ``SuperNet``.
        residual_scale: See ``SuperNet``.
        path_seed: Seed of the paths.
    """

    def __init__(
        self,
        space: SearchSpace,
        paths: PathOptions = PathOptions(),
        loss: LossConfig = LossConfig(),  # noqa: B008
        optim: OptimizerConfig = OptimizerConfig(),  # noqa: B008  (frozen)
        initialisation: Initialisation = "magnifier",
        residual_scale: float | Literal["learnable"] = 1.0,
        path_seed: int = 0,
    ) -> None:
        super().__init__(loss, optim)
        if paths.max_gflops is not None:
            space.require_cap(paths.max_gflops)
        own = {"initialisation": initialisation, "residual_scale": residual_scale, "path_seed": path_seed}
        parts = {"paths": asdict(paths), "loss": plain(asdict(loss)), "optim": plain(asdict(optim))}
        self.save_hyperparameters({"space": space.to_dict(), **parts, **own})
        self.space, self.paths, self.path_seed = space, paths, path_seed
        self.supernet = SuperNet(space, initialisation, residual_scale)
        self.gradient_norm, self.largest_gradient_norm = math.nan, 0.0
        rng = np.random.default_rng(_PROBE_SEED)
        fixed = (space.largest(rng), space.smallest(rng), space.sample(rng), space.sample(rng))
        self.probes = dict(zip(PROBES, fixed, strict=True))
        self.probe_ssim = torch.nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in PROBES})
        self._drawn: list[Genotype] = []

    @property
    def network(self) -> torch.nn.Module:
        """The supernet."""
        return self.supernet

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        """Mean loss of the step's networks on one batch of pairs."""
        self._drawn = self.paths.draw(self.space, self.path_seed, self.global_step)
        losses: list[Tensor] = []
        terms: Terms | None = None
        teacher: Tensor | None = None
        for path in self._drawn:
            loss, found, output = self.supernet.run(path, lambda magnifier: self.pair_loss(magnifier, batch))
            terms = terms or found
            if teacher is not None and self._distils():
                loss = (loss + self.paths.distil * F.l1_loss(output.float(), teacher)) / (1.0 + self.paths.distil)
            teacher = output.detach().float() if teacher is None else teacher
            losses.append(loss)
        assert terms is not None
        loss = torch.stack(losses).mean()
        self._require_finite("loss", self.log_loss(loss, terms))
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Log the gradient's norm, stop where it is not finite, and clip."""
        gradients = [p.grad for p in self.supernet.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.log("train/gradient_norm", norm)
        # Under float16 an overflow is the loss scaler's business.
        if self.trainer.precision != "16-mixed":
            self._require_finite("gradient norm", norm)
        if torch.isfinite(norm):
            self.gradient_norm = float(norm)
            self.largest_gradient_norm = max(self.largest_gradient_norm, self.gradient_norm)
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def validation_step(self, batch: Pairs, batch_idx: int) -> None:
        """SSIM of four fixed networks with the weights they inherit: the largest, the smallest and two others."""
        counts = getattr(self.trainer.datamodule, "val_counts", True)  # pyright: ignore[reportAttributeAccessIssue]
        for name, path in self.probes.items():
            output = self.supernet(batch.frame_a, batch.frame_b, batch.alpha, path).float().clamp(-1.0, 1.0)
            value = ssim(output, batch.target)
            metric = self.probe_ssim[name]
            metric.update(value if counts else value[:0])  # pyright: ignore[reportCallIssue]
            names = [f"val/ssim_{name}", *(["val/ssim"] if name == "largest" else [])]
            for key in names:
                self.log(key, metric, on_step=False, on_epoch=True)  # pyright: ignore[reportArgumentType]

    def _distils(self) -> bool:
        total = int(self.trainer.estimated_stepping_batches) if self.global_step > 0 else 1
        return self.paths.distil > 0 and self.global_step >= self.paths.distil_from * total

    def _require_finite(self, what: str, value: Tensor) -> None:
        if torch.isfinite(value):
            return
        raise TrainingDivergedError(
            f"the {what} became {float(value)} at step {self.global_step}",
            step=self.global_step,
            gradient_norm=self.gradient_norm if math.isfinite(self.gradient_norm) else None,
            paths=[str(path) for path in self._drawn],
        )
