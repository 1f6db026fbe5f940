"""From a slot of a sweep to its outcome: the constraints first, then training once per seed."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.trial import Trial, TrialState

from lightning_mm.configuration import build
from lightning_mm.cost import cost
from lightning_mm.errors import TrainingDivergedError, first_line
from lightning_mm.machine import is_out_of_memory
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import ARCH_PREFIX, Results
from lightning_mm.search.reading import architecture
from lightning_mm.search.slots import Slot
from lightning_mm.search.spec import SweepSpec
from lightning_mm.training import fit

PRUNED = "pruned"
"""Attribute of a trial that the pruner has ended, with the reason."""

_QUIET = {"trainer.enable_progress_bar": False}


class TakenOverError(RuntimeError):
    """This process was taken to be dead and another one trains the model now."""


@dataclass(frozen=True)
class Outcome:
    """How a slot's model ended.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        values: One per objective where it is complete.
        reason: Why it is not complete.
        infeasible: Whether it was not trained because it is not admitted.
        note: A line for the user.
    """

    state: TrialState
    values: tuple[float, ...] | None = None
    reason: str | None = None
    infeasible: bool = False
    note: str = ""


class Objective:
    """Trains the models of one sweep.

    Args:
        spec: The sweep.
        directory: The study's directory; runs go to the directories that slots name below it.
        wandb: "off", "offline" or "online", for every run.
    """

    def __init__(self, spec: SweepSpec, directory: Path, wandb: str = "off") -> None:
        self.spec, self.directory, self.wandb = spec, directory, wandb
        self._base: MagnifierConfig | None = None

    def __call__(self, slot: Slot, trial: Trial, mine: Callable[[], bool]) -> Outcome:
        """Train a slot's model.

        Args:
            slot: What is trained.
            trial: Where its values come from and what is reported to.
            mine: Whether the trial is still this process's.

        Raises:
            InputError: This machine cannot train it (a folder is missing, say).
            Interrupted: By a signal; the last checkpoint stands.
            TakenOverError: Another process trains it.
        """
        searched = slot.role == "trial" or bool(slot.params)
        values = self.spec.suggest(trial) if searched else {}
        refused = self._refuse(slot, trial, values) if searched else None
        if refused is not None and slot.role == "trial":
            return Outcome(TrialState.PRUNED, reason=refused, infeasible=True, note=refused)
        if (pruned := trial.user_attrs.get(PRUNED)) is not None:
            return Outcome(TrialState.PRUNED, reason=pruned, note=f"pruned {pruned}")
        overrides = self.spec.overrides(slot, values)
        found: list[Results] = []
        try:
            for number, seed in enumerate(self.spec.seeds):
                report = trial if self.spec.pruning and slot.role == "trial" and number == 0 else None
                found.append(self._train(slot, overrides, seed, _TrialCallback(report, mine)))
        except optuna.TrialPruned as pruned:
            return Outcome(TrialState.PRUNED, reason=str(pruned), note=f"pruned {pruned}")
        except TrainingDivergedError as error:
            return _failed(f"diverged: {first_line(error)}")
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return _failed(f"out of memory: {first_line(error)}")
        return self._complete(slot, found, overrides)

    def run_dir(self, slot: Slot, seed: int) -> Path:
        """Directory of a slot's run with a seed, which is in the name where there are several."""
        return self.directory / (slot.run + (f"-seed{seed}" if len(self.spec.seeds) > 1 else ""))

    def _refuse(self, slot: Slot, trial: Trial, values: dict[str, Any]) -> str | None:
        """Tell the sampler by how much a model exceeds the constraints; why it is not admitted, if it is not."""
        base = self._base or build(self.spec.arguments(self.directory, {})).model.arch
        self._base = base
        try:
            report = cost(architecture(base, values))
            if any(not key.startswith(ARCH_PREFIX) for key in values):
                build(self.spec.arguments(self.directory, values)).datamodule.epoch_sampler(0, 1)
        except ValueError as error:
            _constrain(trial, "buildable", 1.0)
            return f"cannot be built: {first_line(error)}"
        excess = self.spec.violations(report)
        for name, value in excess.items():
            _constrain(trial, name, value)
        bounds = self.spec.constraints
        above = [f"{name} {bounds[name] + over:.3g} > {bounds[name]:g}" for name, over in excess.items() if over > 0]
        return ", ".join(above) or None

    def _train(self, slot: Slot, overrides: dict[str, Any], seed: int, callback: Callback) -> Results:
        reference = slot.name if slot.role == "reference" else None
        arguments = self.spec.arguments(self.run_dir(slot, seed), {**overrides, **_QUIET}, reference, seed)
        kind = "search" if slot.role == "trial" else slot.role
        tags = json.dumps([self.spec.name, kind])
        given = {"wandb": self.wandb, "wandb_group": self.spec.name, "wandb_job_type": kind, "wandb_tags": tags}
        arguments += [f"--run.{key}={value}" for key, value in given.items()]
        return fit(arguments, role=slot.role, overrides=overrides, callbacks=[callback])

    def _complete(self, slot: Slot, found: list[Results], overrides: dict[str, Any]) -> Outcome:
        values = tuple(fmean(_value(results, name) for results in found) for name in self.spec.objectives)
        for name, value in zip(self.spec.objectives, values, strict=True):
            if not math.isfinite(value):
                return _failed(f"diverged: {name} is {value}")
        ssim, gflops = fmean(_value(results, "ssim") for results in found), _value(found[0], "flops")
        told = ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in overrides.items())
        note = f"SSIM {ssim:.4f} at {gflops:.2f} G" + (f" ({told})" if told else "")
        return Outcome(TrialState.COMPLETE, values, note=note)


class _TrialCallback(Callback):
    """Reports SSIM after each epoch, and ends a training that the pruner or another process has ended."""

    def __init__(self, trial: Trial | None, mine: Callable[[], bool]) -> None:
        self.trial, self.mine = trial, mine

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop where the trial is another process's by now."""
        if not self.mine():
            raise TakenOverError

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and prune."""
        if self.trial is None or trainer.sanity_checking:
            return
        epoch = trainer.current_epoch + 1
        ssim = float(trainer.callback_metrics["val/ssim"])
        if not math.isfinite(ssim):
            raise TrainingDivergedError(f"SSIM is {ssim} after epoch {epoch}")
        if epoch not in self.trial.storage.get_trial(self.trial._trial_id).intermediate_values:
            self.trial.report(ssim, epoch)
        if self.trial.should_prune():
            text = f"after epoch {epoch} of {trainer.max_epochs} with SSIM {ssim:.4f}"
            # Kept, for the case that this process dies now: the pruner has counted the trial and would let it go on.
            self.trial.set_user_attr(PRUNED, text)
            raise optuna.TrialPruned(text)


def _constrain(trial: Trial, name: str, value: float) -> None:
    if not any(key.endswith(f":{name}") for key in trial.storage.get_trial_system_attrs(trial._trial_id)):
        trial.set_constraint(name, value)  # else it has been, by an earlier attempt


def _value(results: Results, name: str) -> float:
    if name == "ssim":
        value = results.metrics["ssim"]
    else:
        value = results.cost["paper_flops"] / 1e9 if name == "flops" else results.latency.get("ms")
    return math.nan if value is None else value


def _failed(reason: str) -> Outcome:
    return Outcome(TrialState.FAIL, reason=reason[:300], note=reason)
