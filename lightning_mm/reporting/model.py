"""Runs that differ in their seed alone are one model: means and standard deviations over its seeds."""

import json
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lightning_mm.reporting.run import Run
from lightning_mm.runs import Results

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"

# What distinguishes a model beside architecture and protocol; of a configuration's other parts none changes a result.
_TRAINER_KEYS = ("gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches", "overfit_batches")
_RUN_KEYS = ("ema_decay", "weights")
_DATA_WITHOUT = ("seed", "num_workers")


@dataclass(frozen=True, eq=False)
class Model:
    """One model, trained once per seed.

    Attributes:
        label: Short name, unique within the report.
        runs: Its runs, lowest seed first.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run of the lowest seed, for all that the runs share."""
        return self.runs[0]

    @property
    def path(self) -> Path:
        """Directory of the first run."""
        return self.first.path

    @property
    def results(self) -> Results:
        """Results of the first run."""
        return self.first.results

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters that distinguish it within its sweep."""
        return self.first.settings

    def setting(self, key: str) -> Any:
        """A swept hyperparameter, also of a model that was not swept; ``None`` where it has none."""
        return self.first.setting(key)

    def protocol(self) -> dict[str, str]:
        """Everything that two models must share for their numbers to be comparable, by name."""
        return self.first.protocol()

    @property
    def is_trial(self) -> bool:
        """Whether a sweep proposed this model."""
        return self.first.is_trial

    @property
    def is_hand_designed(self) -> bool:
        """Whether this is the paper's proposed model, trained as a comparison."""
        return self.first.is_hand_designed

    @property
    def is_baseline(self) -> bool:
        """Whether this is the model of Oh et al., trained as a comparison."""
        return self.first.is_baseline

    @property
    def seeds(self) -> list[Any]:
        """Seeds that it was trained with, lowest first."""
        return [run.seed for run in self.runs]

    @property
    def gflops(self) -> float | None:
        """The paper's FLOPs in 1e9."""
        return self.first.gflops

    @property
    def params(self) -> int | None:
        """Number of parameters."""
        return self.results.cost.get("params")

    def by_seed(self, metric: str) -> dict[Any, float]:
        """A metric of every seed that has it."""
        return {run.seed: value for run in self.runs if (value := run.metric(metric)) is not None}

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the seeds that have it; ``None`` where none has."""
        values = self.by_seed(metric).values()
        return mean(values) if values else None

    def sd(self, metric: str) -> float | None:
        """Standard deviation of a metric over seeds (n - 1); ``None`` with fewer than two."""
        values = self.by_seed(metric).values()
        return stdev(values) if len(values) > 1 else None

    @cached_property
    def ssim(self) -> float | None:
        """Mean SSIM over seeds."""
        return self.mean("ssim")

    def text(self, metric: str, digits: int, between: str = f" {PLUS_MINUS} ") -> str:
        """A metric for a table: "0.9123 ± 0.0021" over several seeds, "0.9123" of one, or "absent"."""
        average, spread = self.mean(metric), self.sd(metric)
        if average is None:
            return "absent"
        return f"{average:.{digits}f}" + ("" if spread is None else f"{between}{spread:.{digits}f}")

    def absent_reason(self, metric: str) -> str:
        """Why no run has a metric."""
        return self.results.absent.get(metric, "no reason recorded")


def models_of(runs: Iterable[Run]) -> list[Model]:
    """Put runs that differ in their seed alone together.

    Args:
        runs: In any order. Runs of equal configuration and equal seed are different models: one is a repetition of the
            other and no second seed.

    Returns:
        Highest mean SSIM first, models without one last.
    """
    found = [part for group in _grouped(runs, _identity) for part in _split(group)]
    models = [Model(_label(group), tuple(group)) for group in found]
    labels = [model.label for model in models]
    models = [model if labels.count(model.label) == 1 else Model(model.first.label, model.runs) for model in models]
    return sorted(models, key=lambda model: float("-inf") if model.ssim is None else model.ssim, reverse=True)


def _split(group: list[Run]) -> list[list[Run]]:
    """Runs of one configuration, apart by name where a seed occurs more than once, each alone where it still does."""
    if _seeds_differ(group):
        return [sorted(group, key=_seed)]
    found = []
    for part in _grouped(group, lambda run: (str(run.path.parent), run.base_name)):
        found += [sorted(part, key=_seed)] if _seeds_differ(part) else [[run] for run in part]
    return found


def _grouped(runs: Iterable[Run], key: Callable[[Run], Hashable]) -> list[list[Run]]:
    found: dict[Hashable, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return list(found.values())


def _seed(run: Run) -> int:
    return -1 if run.seed is None else run.seed


def _seeds_differ(runs: list[Run]) -> bool:
    seeds = {run.seed for run in runs}
    return len(runs) == 1 or (len(seeds) == len(runs) and None not in seeds)


def _identity(run: Run) -> tuple[str, ...]:
    results, config = run.results, run.results.config
    data = {key: value for key, value in (config.get("data") or {}).items() if key not in _DATA_WITHOUT}
    trainer = {key: (config.get("trainer") or {}).get(key) for key in _TRAINER_KEYS}
    options = {key: (config.get("run") or {}).get(key) for key in _RUN_KEYS}
    told = [results.arch, run.settings, config.get("model"), data, trainer, options]
    # Two trials or variants are two even with equal values: each was asked for.
    name = run.base_name if results.role in ("trial", "variant") else ""
    return (results.role, name, *run.protocol().values(), json.dumps(told, sort_keys=True, default=str))


def _label(group: list[Run]) -> str:
    if len(group) == 1 and group[0].base_name == group[0].results.name:
        return group[0].label
    names = list(dict.fromkeys(run.base_name for run in group))
    if len(names) == 1:
        return f"trial {names[0]}" if group[0].is_trial and names[0].isdigit() else names[0]
    return names[0] + f" and {len(names) - 1} more"
