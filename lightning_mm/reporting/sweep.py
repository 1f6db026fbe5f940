"""What a report is about: models, what is comparable among them, and how the search went."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_mm.pareto import dominates, pareto_front
from lightning_mm.reporting.model import Model, models_of
from lightning_mm.reporting.plane import Plane, planes_of
from lightning_mm.reporting.run import HAND_DESIGNED, Run, finite, trial_label, validation_text, without_seed
from lightning_mm.reporting.threshold import PAPER_THRESHOLD, Threshold

COMPLETE = "complete"
STATES = (COMPLETE, "pruned", "infeasible", "failed", "lost", "running", "waiting")
"""What a trial can be: "lost" ones ended for no reason of their own and were queued again."""

TRIALS = "trials/"


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the search recorded it, whatever became of it.

    Attributes:
        number: Its number in the study.
        state: One of ``STATES``.
        run: Its run directory below the sweep's, such as "trials/0003" (behind it "-seed0" for each of several seeds).
        params: Dotted key to value.
        values: One per objective, of a complete trial.
        started: When it began.
        ended: When it ended.
        reason: Why it is not complete.
    """

    number: int
    state: str
    run: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    reason: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it ended with finite values, so that it counts."""
        return self.state == COMPLETE and bool(self.values) and all(finite(v) is not None for v in self.values)

    @property
    def is_search(self) -> bool:
        """Whether the sampler proposed it; what was asked for by name (references, variants) is recorded as well."""
        return self.run is None or self.run.startswith(TRIALS)

    @property
    def label(self) -> str:
        """Its name: the run's, which all attempts at it share, or the number in the study."""
        return f"number {self.number}" if self.run is None else trial_label(self.run.rsplit("/", 1)[-1])

    @property
    def seconds(self) -> float | None:
        """Time from its start to its end."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.started).total_seconds())


@dataclass(frozen=True)
class Sweep:
    """Models of one directory.

    Attributes:
        directory: Where they were found.
        name: Name of the sweep, or of the directory.
        runs: Finished runs that count: of a trial only where the trial is complete.
        left_out: Finished runs that don't count, each with the state of its trial.
        description: What the sweep is for; may be empty.
        objectives: What the search optimised, "ssim" first; empty without ``sweep.json``.
        constraints: Upper bounds of the search: "flops" in 1e9 (the paper's), "params" in 1e6.
        told_counts: Trials by state, where no trials are recorded one by one.
        told_failures: Likewise for each failed trial its "number" and "reason".
        records: Every trial of the search and every model that was asked for by name; empty without ``sweep.json``.
        space: The search space: dotted key to the JSON text of an Optuna distribution.
        target_trials: Trials that were asked for.
        threshold: The line of visual acceptability to judge by.
    """

    directory: Path
    name: str
    runs: list[Run]
    left_out: list[tuple[Run, str]] = field(default_factory=list)
    description: str = ""
    objectives: tuple[str, ...] = ()
    constraints: dict[str, float] = field(default_factory=dict)
    told_counts: dict[str, int] = field(default_factory=dict)
    told_failures: list[dict[str, Any]] = field(default_factory=list)
    records: list[TrialRecord] = field(default_factory=list)
    space: dict[str, str] = field(default_factory=dict)
    target_trials: int | None = None
    threshold: Threshold = PAPER_THRESHOLD

    @cached_property
    def models(self) -> list[Model]:
        """Highest mean SSIM first, models without one last."""
        return models_of(self.runs)

    @property
    def trials(self) -> list[Model]:
        """Models that the sweep proposed, best SSIM first."""
        return [model for model in self.models if model.is_trial]

    @property
    def is_budget_study(self) -> bool:
        """Whether the search had SSIM as its one objective, below upper bounds of the cost."""
        return self.objectives == ("ssim",)

    @property
    def counts(self) -> dict[str, int]:
        """Trials by state; empty where no search is recorded."""
        return dict(Counter(record.state for record in self.searched)) or self.told_counts

    @property
    def searched(self) -> list[TrialRecord]:
        """What the sampler proposed, whatever became of it."""
        return [record for record in self.records if record.is_search]

    def failures(self) -> list[tuple[str, str]]:
        """Name and reason of everything that failed."""
        if self.records:
            failed = [record for record in self.records if record.state == "failed"]
            return [(record.label, record.reason or "no reason recorded") for record in failed]
        return [
            (f"trial {f.get('number', '?')}", str(f.get("reason", "no reason recorded"))) for f in self.told_failures
        ]

    @cached_property
    def planes(self) -> list[Plane]:
        """Planes of cost and SSIM: that of the objectives, and where both costs are known the other one."""
        return planes_of(self.models, "latency" if "latency" in self.objectives else "flops")

    @property
    def plane(self) -> Plane:
        """The plane of the objectives, in which fronts and domination are taken."""
        return self.planes[0]

    @cached_property
    def groups(self) -> list[list[Model]]:
        """Models that are comparable with one another, the group with the hand-designed and the most models first."""
        found: dict[tuple[str, ...], list[Model]] = {}
        for model in self.models:
            found.setdefault(tuple(model.protocol().values()), []).append(model)
        return sorted(found.values(), key=lambda group: (not any(m.is_hand_designed for m in group), -len(group)))

    def fronts(self, plane: Plane | None = None) -> list[list[Model]]:
        """Pareto front of every group of comparable models, cheapest first; in the plane of the objectives if none."""
        plane = plane or self.plane
        return [[group[i] for i in pareto_front([plane.point(m) for m in group])] for group in self.groups]

    @cached_property
    def _references(self) -> dict[tuple[str, ...], Model]:
        found = {}
        for group in self.groups:
            named = [model for model in group if model.is_hand_designed and model.ssim is not None]
            # By name before by architecture alone, then the one with most seeds.
            named.sort(key=lambda model: (model.first.base_name != HAND_DESIGNED, -len(model.runs)))
            if named:
                found[tuple(group[0].protocol().values())] = named[0]
        return found

    def hand_designed(self, model: Model) -> Model | None:
        """The hand-designed model that ``model`` may be compared with: trained on the same budget."""
        return self._references.get(tuple(model.protocol().values()))

    def difference(self, model: Model) -> float | None:
        """Mean SSIM above the hand-designed model trained on the same budget; ``None`` without one."""
        other = self.hand_designed(model)
        if other is None or other.ssim is None or model.ssim is None or model is other:
            return None
        return model.ssim - other.ssim

    def dominates_hand_designed(self, model: Model) -> bool:
        """Whether a model has no higher cost and no lower SSIM than the hand-designed one, and is better in one."""
        other = self.hand_designed(model)
        return other is not None and dominates(self.plane.point(model), self.plane.point(other))

    def floors(self) -> list[tuple[str, Run]]:
        """Methods without training, each with a run that states its metrics: one per distinct validation set."""
        found: dict[tuple[str, str], tuple[str, Run]] = {}
        for run in self.runs:
            for name in run.results.floors:
                found.setdefault((name, validation_text(run.results)), (name, run))
        return list(found.values())

    def seconds_outside_training(self) -> list[float]:
        """For each model that was completed in one attempt, its time less training with validation of all seeds."""
        attempts = Counter(record.run for record in self.records)
        training: dict[str, list[float | None]] = {}
        for run in self.runs:
            where = without_seed(run.path.relative_to(self.directory).as_posix(), run.seed)
            training.setdefault(where, []).append(finite(run.results.budget.get("train_seconds")))
        found = []
        for record in self.records:
            parts = training.get(record.run or "", [])
            # Of one that went on after an interruption, the training of all attempts is known but not their times.
            once = attempts[record.run] == 1
            if once and record.is_complete and record.seconds is not None and parts and None not in parts:
                found.append(record.seconds - sum(part for part in parts if part is not None))
        return found

    @property
    def floor_ssim(self) -> float | None:
        """SSIM of returning frame B on the validation pairs of the models that are judged."""
        return finite(self.groups[0][0].results.floors.get("frame_b", {}).get("ssim"))
