"""Learning to remove: a magnifier trains on with switches around components of one part (the paper's Section 5.1)."""

from dataclasses import asdict, dataclass
from typing import Any, get_args

from torch import Tensor

from lightning_mm.data.rendering import Pairs
from lightning_mm.losses import LossConfig
from lightning_mm.metrics import LpipsNet
from lightning_mm.models import MagnifierConfig
from lightning_mm.models.block_forms import PARTS, Part
from lightning_mm.models.removal import RemovableComponent, removable, switch_components
from lightning_mm.models.switches import Switch, clamp_, penalty
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.tasks.pairs import OptimizerConfig, plain

CURVE_KEY = "omegas"


@dataclass(frozen=True)
class RemovalConfig:
    """Which components are to be removed, and how hard.

    The paper gives neither p, lambda_rm, tau nor the learning rate of omega; these are this project's. With p = 1 each
    switch is pulled alike from the start; with p > 1 the pull at omega = 0 is none, so that the task's own gradient
    must begin, and it grows towards omega = 1. In front of a component 1 - omega acts like a factor, which weights can
    make up for, so that a vital component may come to rest well above 0: the threshold lies near 1, which what is
    useless reaches.

    Args:
        part: Whose residual blocks: "encoder", "manipulator" or "decoder".
        component: "relu" (becomes the identity), "skip" (the skip connection goes, the branch stays) or "block" (a
            whole residual block becomes the identity).
        power: p >= 1 of the penalty mean(1 - omega^p) (Eq. 5).
        weight: lambda_rm > 0, its weight beside the task's loss (Eq. 4).
        threshold: tau in (0, 1): components whose omega ends above it are cut.
        lr: Learning rate of the omegas, in (0, 1); constant, whatever the schedule of the weights. Adam moves an omega
            by about so much per step, so that 1 / lr steps lead from 0 to 1 at the earliest.

    Raises:
        ValueError: A value is out of range; the message names the field, the value and what is accepted.
    """

    part: Part
    component: RemovableComponent
    power: float = 1.0
    weight: float = 0.1
    threshold: float = 0.9
    lr: float = 0.01

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._require("part", self.part in PARTS, f"one of {PARTS}")
        components = get_args(RemovableComponent)
        self._require("component", self.component in components, f"one of {components}")
        self._require("power", 1.0 <= self.power <= 100.0, "in [1, 100]")
        self._require("weight", 0.0 < self.weight < float("inf"), "> 0")
        self._require("threshold", 0.0 < self.threshold < 1.0, "in (0, 1)")
        self._require("lr", 0.0 < self.lr < 1.0, "in (0, 1)")

    def _require(self, field: str, condition: bool, accepted: str) -> None:
        if not condition:
            raise ValueError(f"RemovalConfig.{field} = {getattr(self, field)!r}: must be {accepted}")


class PruneTask(MagnifyTask):
    """Trains a magnifier and its switches: loss = task + lambda_rm * mean(1 - omega^p) (Eq. 4 and 5).

    The switches go in when a loop of the Trainer starts, so that weights of the architecture can be loaded before.

    Args:
        removal: What is to be removed.
        arch: The architecture, with components of the kind.
        loss: Weights of the loss terms.
        optim: Optimiser and schedule of the weights.
        lpips: As of ``MagnifyTask``.
        compile: As of ``MagnifyTask``.

    Attributes:
        switches: By the names of their blocks, "decoder.3"; empty before a loop has started.
        curve: (step, omegas in the order of ``switches``), from step 0 on, each time that the Trainer logs.

    Raises:
        ValueError: The part has no component of the kind.
    """

    def __init__(
        self,
        removal: RemovalConfig,
        arch: MagnifierConfig = MagnifierConfig(),  # noqa: B008  (frozen)
        loss: LossConfig = LossConfig(),  # noqa: B008
        optim: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        lpips: LpipsNet = "off",
        compile: bool = False,
    ) -> None:
        super().__init__(arch, loss, optim, lpips, compile)
        try:
            removable(arch, removal.part, removal.component)
        except ValueError as error:
            given = f"part = {removal.part!r}, component = {removal.component!r}"
            raise ValueError(f"RemovalConfig.{given}: {error}") from None
        self.save_hyperparameters({"removal": plain(asdict(removal))})
        self.removal = removal
        self.switches: dict[str, Switch] = {}
        self.curve: list[tuple[int, list[float]]] = []

    @property
    def omegas(self) -> dict[str, float]:
        """Each omega by the name of its block."""
        return {name: switch.omega.item() for name, switch in self.switches.items()}

    def configure_model(self) -> None:
        """Put the switches in, once."""
        if not self.switches:
            self.switches = switch_components(self.magnifier, self.removal.part, self.removal.component)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The weights, and the omegas with a rate of their own."""
        omegas = [switch.omega for switch in self.switches.values()]
        own = set(map(id, omegas))
        weights = [p for p in self.magnifier.parameters() if p.requires_grad and id(p) not in own]
        return [{"params": weights}, {"params": omegas, "lr": self.removal.lr}]

    def on_train_start(self) -> None:
        """Begin the curve."""
        if not self.curve:
            self.curve.append((self.global_step, list(self.omegas.values())))

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        """Loss of one batch of pairs, with the penalty."""
        task = super().training_step(batch, batch_idx)
        removal = penalty(self.switches, self.removal.power)
        self.log("train/removal", removal.detach())
        return task + self.removal.weight * removal

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and project the omegas to [0, 1]."""
        super().optimizer_step(*args, **kwargs)
        clamp_(self.switches)

    def on_train_batch_end(self, outputs: Any, batch: Pairs, batch_idx: int) -> None:
        """Log each omega."""
        self.log_dict({f"train/omega/{name}": s.omega.detach().clone() for name, s in self.switches.items()})
        every = self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if self.global_step % every == 0 and self.global_step > self.curve[-1][0]:
            self.curve.append((self.global_step, list(self.omegas.values())))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curve."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[CURVE_KEY] = [[step, *omegas] for step, omegas in self.curve]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the curve."""
        super().on_load_checkpoint(checkpoint)
        self.curve = [(int(step), omegas) for step, *omegas in checkpoint[CURVE_KEY]]
