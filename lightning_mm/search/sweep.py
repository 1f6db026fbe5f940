"""Running a sweep: references and variants, then trials until the target is reached; safe to stop and to run again."""

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_mm.errors import InputError, Interrupted, TrainingDivergedError, first_line
from lightning_mm.runs import write_text_atomically
from lightning_mm.search.spec import SweepSpec
from lightning_mm.training import fit

SWEEP_FILE = "sweep.json"
_HEARTBEAT_S = 60
_QUIET = ["--trainer.enable_progress_bar=false"]


@dataclass
class Sweep:
    """One study and its directory.

    Attributes:
        spec: What is searched.
        directory: Holds ``study.db``, ``sweep.json``, ``references/NAME``, ``variants/NAME`` and
            ``trials/NUMBER``.
        storage: Database URL.
        announce: Called with a line of text when a run begins and ends.
    """

    spec: SweepSpec
    directory: Path
    storage: str
    announce: Callable[[str], None] = field(default=lambda line: None)

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Train what is missing.

        Args:
            progress: Called with (runs finished, runs in all) after each run.

        Raises:
            InputError: The study holds another search space or budget.
            Interrupted: Stopped by the user; running again continues.
        """
        study = self._study()
        total = self.spec.runs
        done = 0
        for name in self.spec.references:
            self._named("reference", name, {}, name)
            done += 1
            progress(done, total)
        for name, overrides in self.spec.variant_runs():
            self._named("variant", name, overrides)
            done += 1
            progress(done, total)
        finished = self._finished(study)
        progress(done + finished, total)

        def after(study: optuna.Study, trial: FrozenTrial) -> None:
            self._write_state(study)
            count = self._finished(study)
            progress(done + count, total)
            if count >= self.spec.target:
                study.stop()

        if finished < self.spec.target:
            study.optimize(self._objective, callbacks=[after], catch=(TrainingDivergedError, torch.OutOfMemoryError))
        self._write_state(study)

    def _study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.directory.mkdir(parents=True, exist_ok=True)
        samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=self.spec.seed),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=self.spec.seed),
            "random": lambda: optuna.samplers.RandomSampler(seed=self.spec.seed),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                storage = RDBStorage(
                    self.storage,
                    engine_kwargs={"connect_args": {"timeout": 60}} if self.storage.startswith("sqlite") else None,
                    heartbeat_interval=_HEARTBEAT_S,
                    grace_period=3 * _HEARTBEAT_S,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=2),
                )
            except Exception as error:  # SQLAlchemy and the drivers raise many kinds
                raise InputError(f"{self.storage}: not a usable study storage ({first_line(error)[:160]})") from None
            study = optuna.create_study(
                storage=storage,
                sampler=samplers[self.spec.sampler](),
                study_name=self.spec.name,
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )
            study.set_metric_names(["SSIM", "paper GFLOPs"])
        digest = self.spec.digest()
        if study.user_attrs.get("digest", digest) != digest:
            advice = "give the changed sweep another name, or delete the study's directory"
            raise InputError(
                f"{self.storage}: study '{self.spec.name}' has another space, budget or reference; {advice}"
            )
        study.set_user_attr("digest", digest)
        return study

    def _named(self, role: str, name: str, overrides: dict[str, Any], reference: str | None = None) -> None:
        run_dir = self.directory / f"{role}s" / name
        results = fit(self.spec.arguments(run_dir, overrides, reference) + _QUIET, role=role, overrides=overrides)
        self.announce(f"{role} {name}: SSIM {results.metrics['ssim']:.4f}")

    def _objective(self, trial: Trial) -> tuple[float, float]:
        overrides = self.spec.suggest(trial)
        run_dir = self._run_dir(trial)
        trial.set_user_attr("run", run_dir.name)
        try:
            results = fit(self.spec.arguments(run_dir, overrides) + _QUIET, role="trial", overrides=overrides)
        except (TrainingDivergedError, torch.OutOfMemoryError) as error:
            trial.set_user_attr("reason", first_line(error)[:300])
            self.announce(f"trial {trial.number} failed: {error}")
            raise
        except Interrupted:
            # Queued again with the same values, it continues from its checkpoint when the sweep is run again.
            trial.study.enqueue_trial(trial.params)
            raise
        ssim, gflops = results.metrics["ssim"], results.cost["paper_flops"] / 1e9
        if ssim is None or not math.isfinite(ssim):
            trial.set_user_attr("reason", f"SSIM is {ssim}")
            raise TrainingDivergedError(f"trial {trial.number}: SSIM is {ssim}")
        values = ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in overrides.items())
        self.announce(f"trial {trial.number}: SSIM {ssim:.4f} at {gflops:.2f} G ({values})")
        return ssim, gflops

    def _run_dir(self, trial: Trial) -> Path:
        """A directory per distinct set of values: a retried trial continues, a repeated one finds its results."""
        for earlier in trial.study.get_trials(deepcopy=False):
            if earlier.number < trial.number and earlier.params == trial.params and "run" in earlier.user_attrs:
                return self.directory / "trials" / earlier.user_attrs["run"]
        return self.directory / "trials" / f"{trial.number:04d}"

    @staticmethod
    def _finished(study: optuna.Study) -> int:
        """Trials that have an outcome: complete ones, and those that failed for a reason of their own."""
        trials = study.get_trials(deepcopy=False)
        return sum(t.state == TrialState.COMPLETE or "reason" in t.user_attrs for t in trials)

    def _write_state(self, study: optuna.Study) -> None:
        trials = study.get_trials(deepcopy=False)
        counts = {state.name.lower(): sum(t.state == state for t in trials) for state in TrialState}
        failures = [{"number": t.number, "reason": t.user_attrs["reason"]} for t in trials if "reason" in t.user_attrs]
        counts["failed"] = len(failures)
        counts["interrupted"] = counts.pop("fail") - len(failures)
        state: dict[str, Any] = {
            "name": self.spec.name,
            "description": self.spec.description,
            "target_trials": self.spec.target,
            "counts": counts,
            "failures": failures,
            "storage": self.storage,
        }
        write_text_atomically(self.directory / SWEEP_FILE, json.dumps(state, indent=2) + "\n")
