"""What a report is about: the runs below a directory, what is comparable among them, and how the sweep went."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.reporting.pareto import Point, dominates, pareto_front
from lightning_mm.runs import RESULTS_FILE, SAMPLES_FILE, Results

SWEEP_FILE = "sweep.json"
HAND_DESIGNED = "proposed"
BASELINE = "baseline"
ARCH_PREFIX = "model.arch."
TIMES = " \N{MULTIPLICATION SIGN} "
DASH = "\N{EN DASH}"
"""Stands for a number that does not exist."""


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run and where it lies.

    Attributes:
        path: The run directory.
        label: Short name, unique within the report.
        results: Its ``results.json``.
    """

    path: Path
    label: str
    results: Results

    def metric(self, name: str) -> float | None:
        """A validation metric; ``None`` where it is absent or not a finite number."""
        value = self.results.metrics.get(name)
        return value if value is not None and math.isfinite(value) else None

    @property
    def ssim(self) -> float | None:
        """SSIM on the validation pairs."""
        return self.metric("ssim")

    @property
    def gflops(self) -> float | None:
        """The paper's FLOPs in 1e9 (see ``lightning_mm.cost``)."""
        value = self.results.cost.get("paper_flops")
        return None if value is None else value / 1e9

    @property
    def point(self) -> Point:
        """Place in the plane of FLOPs and SSIM."""
        return Point(self.gflops, self.ssim)

    @property
    def is_trial(self) -> bool:
        """Whether a sweep proposed this model."""
        return self.results.role == "trial"

    @property
    def is_hand_designed(self) -> bool:
        """Whether this is the paper's proposed model, trained as a comparison."""
        return not self.is_trial and self.results.name == HAND_DESIGNED

    @property
    def is_baseline(self) -> bool:
        """Whether this is the model of Oh et al., trained as a comparison."""
        return not self.is_trial and self.results.name == BASELINE

    def setting(self, key: str) -> Any:
        """A swept hyperparameter, also of a run that was not swept; ``None`` where it has none."""
        return self.results.overrides.get(key, self.results.arch.get(key.removeprefix(ARCH_PREFIX)))

    @property
    def samples_file(self) -> Path:
        """The run's sample images; may not exist."""
        return self.path / SAMPLES_FILE

    def protocol(self) -> dict[str, str]:
        """Everything that two runs must share for their numbers to be comparable, by name."""
        budget, cost, results = self.results.budget, self.results.cost, self.results
        return {
            "steps": plain(budget.get("steps")),
            "samples seen": plain(budget.get("samples")),
            "batch size": plain(budget.get("batch_size")),
            "crop": plain(budget.get("crop")),
            "precision": plain(budget.get("precision")),
            "validation set": validation_text(results),
            "definition of SSIM": plain(results.definitions.get("ssim")),
            "frame size of the FLOPs": f"{plain(cost.get('height'))}{TIMES}{plain(cost.get('width'))}",
        }


@dataclass(frozen=True)
class Sweep:
    """Runs of one directory.

    Attributes:
        directory: Where they were found.
        name: Name of the sweep, or of the directory.
        runs: Best SSIM first, runs without one last.
        description: What the sweep is for; may be empty.
        counts: Trials by state ("complete", "failed", "pruned", "running", "waiting"); empty without ``sweep.json``.
        failures: For each failed trial its "number" and "reason".
        target_trials: Trials that were asked for.
        command: The command that ran the sweep.
    """

    directory: Path
    name: str
    runs: list[Run]
    description: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    target_trials: int | None = None
    command: str | None = None

    @property
    def trials(self) -> list[Run]:
        """Models that the sweep proposed, best SSIM first."""
        return [run for run in self.runs if run.is_trial]

    def groups(self) -> list[list[Run]]:
        """Runs that are comparable with one another, the group with the hand-designed model and the most runs first."""
        found: dict[tuple[str, ...], list[Run]] = {}
        for run in self.runs:
            found.setdefault(tuple(run.protocol().values()), []).append(run)
        return sorted(found.values(), key=lambda group: (not any(r.is_hand_designed for r in group), -len(group)))

    def fronts(self) -> list[list[Run]]:
        """Pareto front of every group of comparable runs, cheapest first."""
        return [[group[i] for i in pareto_front([run.point for run in group])] for group in self.groups()]

    def hand_designed(self, run: Run) -> Run | None:
        """The hand-designed model that ``run`` may be compared with, preferably of the same seed."""
        mine = run.protocol()
        found = [r for r in self.runs if r.is_hand_designed and r.protocol() == mine and r.ssim is not None]
        seed = run.results.budget.get("seed")
        return min(found, key=lambda r: r.results.budget.get("seed") != seed, default=None)

    def difference(self, run: Run) -> float | None:
        """SSIM above the hand-designed model trained on the same budget; ``None`` without one."""
        other = self.hand_designed(run)
        if other is None or other.ssim is None or run.ssim is None or run is other:
            return None
        return run.ssim - other.ssim

    def dominates_hand_designed(self, run: Run) -> bool:
        """Whether a run has no more FLOPs and no less SSIM than the hand-designed model, and is better in one."""
        other = self.hand_designed(run)
        return other is not None and dominates(run.point, other.point)

    def floors(self) -> list[tuple[str, Run]]:
        """Methods without training, each with a run that states its metrics: one per distinct validation set."""
        found: dict[tuple[str, str], tuple[str, Run]] = {}
        for run in self.runs:
            for name in run.results.floors:
                found.setdefault((name, validation_text(run.results)), (name, run))
        return list(found.values())


def collect(directory: Path) -> Sweep:
    """Read every finished run below a directory, and its ``sweep.json`` if there is one.

    Raises:
        InputError: The directory is missing or holds no finished run, or one of the files is not readable.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory of runs")
    paths = [path.parent for path in sorted(directory.rglob(RESULTS_FILE))]
    if not paths:
        raise InputError(f"{directory}: no finished run in it (no {RESULTS_FILE}); a run writes it when it finishes")
    pairs = [(path, Results.read(path)) for path in paths]
    labels = _labels(directory, pairs)
    runs = [Run(path, label, results) for (path, results), label in zip(pairs, labels, strict=True)]
    runs.sort(key=lambda run: -math.inf if run.ssim is None else run.ssim, reverse=True)
    told = _read_sweep_file(directory / SWEEP_FILE)
    return Sweep(
        directory=directory,
        name=str(told.get("name") or directory.resolve().name),
        runs=runs,
        description=str(told.get("description") or ""),
        counts=dict(told.get("counts") or {}),
        failures=list(told.get("failures") or []),
        target_trials=told.get("target_trials"),
        command=told.get("command"),
    )


def plain(value: Any) -> str:
    """A value as a reader wants it: thousands separated, lists as products, absence as "not recorded"."""
    if value is None:
        return "not recorded"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return TIMES.join(plain(item) for item in value)
    return str(value)


def validation_text(results: Results) -> str:
    """Identity of the validation pairs in one line."""
    v = results.validation
    size = f"{plain(v.get('height'))}{TIMES}{plain(v.get('width'))}"
    return f"{plain(v.get('name'))}, {plain(v.get('pairs'))} pairs of {size} (digest {plain(v.get('digest'))})"


def distinct(runs: Iterable[Run], value: Callable[[Run], str]) -> str:
    """One value for all runs, or every value with the runs that have it, most frequent first."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(value(run), []).append(run.label)
    if len(found) == 1:
        return next(iter(found))
    parts = sorted(found.items(), key=lambda item: -len(item[1]))
    return "; ".join(f"{v} ({', '.join(who) if len(who) <= 3 else f'{len(who)} runs'})" for v, who in parts)


def _labels(directory: Path, pairs: list[tuple[Path, Results]]) -> list[str]:
    names = [
        f"trial {path.name}" if results.role == "trial" and path.name.isdigit() else results.name
        for path, results in pairs
    ]
    times = Counter(names)
    return [
        name if times[name] == 1 else f"{name} ({path.relative_to(directory)})"
        for name, (path, _) in zip(names, pairs, strict=True)
    ]


def _read_sweep_file(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a sweep file (expected an object, found {type(data).__name__})")
    return data
