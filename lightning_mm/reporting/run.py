"""One finished run as a report sees it, and how its values are put into words."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import ARCH_PREFIX, SAMPLES_FILE, Results

HAND_DESIGNED = "proposed"
BASELINE = "baseline"
SEED_KEYS = ("data.seed", "seed_everything")
TIMES = " \N{MULTIPLICATION SIGN} "
DASH = "\N{EN DASH}"
"""Stands for a number that does not exist."""

_PROPOSED_ARCH = MagnifierConfig.proposed().to_dict()


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
        return finite(self.results.metrics.get(name))

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
    def seed(self) -> int | None:
        """Seed of the run, where it is recorded."""
        return self.results.budget.get("seed")

    @property
    def base_name(self) -> str:
        """Name without the seed that a sweep appends to it."""
        return without_seed(self.results.name, self.seed)

    @property
    def is_trial(self) -> bool:
        """Whether a sweep proposed this model."""
        return self.results.role == "trial"

    @property
    def is_hand_designed(self) -> bool:
        """Whether this is the paper's proposed model, by name or by architecture, trained as a comparison."""
        named = self.base_name == HAND_DESIGNED or self.results.arch == _PROPOSED_ARCH
        return self.results.role not in ("trial", "variant") and named

    @property
    def is_baseline(self) -> bool:
        """Whether this is the model of Oh et al., trained as a comparison."""
        return not self.is_trial and self.base_name == BASELINE

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters that distinguish this run within its sweep, seeds left out."""
        return {key: value for key, value in self.results.overrides.items() if key not in SEED_KEYS}

    def setting(self, key: str) -> Any:
        """A swept hyperparameter, also of a run that was not swept; ``None`` where it has none."""
        return self.results.overrides.get(key, self.results.arch.get(key.removeprefix(ARCH_PREFIX)))

    @property
    def milliseconds(self) -> float | None:
        """Measured latency per frame."""
        return finite(self.results.latency.get("ms"))

    @property
    def latency_conditions(self) -> str | None:
        """What two latencies must share to be comparable, in words; ``None`` where none was measured."""
        told = self.results.latency
        if self.milliseconds is None:
            return None
        size = f"{plain(told.get('height'))}{TIMES}{plain(told.get('width'))} pixels"
        return f"{size}, {plain(told.get('precision'))}, batch 1, on {device_text(self)}"

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


def without_seed(name: str, seed: int | None) -> str:
    """A run's name without the seed that a sweep appends to it, such as "proposed" of "proposed-seed0"."""
    return name.removesuffix(f"-seed{seed}")


def trial_label(name: str) -> str:
    """How a trial is called: its number behind the word, for names that are numbers."""
    return f"trial {name}" if re.fullmatch(r"\d+(-seed\d+)?", name) else name


def finite(value: Any) -> float | None:
    """A finite number, else ``None``."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if number else None


def plain(value: Any) -> str:
    """A value as a reader wants it: thousands separated, lists as products, absence as "not recorded"."""
    if value is None:
        return "not recorded"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return TIMES.join(plain(item) for item in value)
    return str(value)


def signed(value: float, digits: int = 4) -> str:
    """A difference with its sign, a true minus."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def validation_text(results: Results) -> str:
    """Identity of the validation pairs in one line."""
    v = results.validation
    size = f"{plain(v.get('height'))}{TIMES}{plain(v.get('width'))}"
    return f"{plain(v.get('name'))}, {plain(v.get('pairs'))} pairs of {size} (digest {plain(v.get('digest'))})"


def device_text(run: Run) -> str:
    """The device a run was trained and timed on: of a processor also its name and threads."""
    told = run.results.hardware
    if told.get("device") not in (None, "cpu"):
        return str(told["device"])
    return f"{plain(told.get('device'))}, {processor_text(run)}"


def processor_text(run: Run) -> str:
    """The processor of a run's machine and the threads used on it."""
    told = run.results.hardware
    threads = told.get("threads")
    return plain(told.get("processor")) + (f", {threads} thread{'s' if threads != 1 else ''}" if threads else "")


def distinct(runs: Iterable[Run], value: Callable[[Run], str]) -> str:
    """One value for all runs, or every value with the runs that have it, most frequent first."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(value(run), []).append(run.label)
    if len(found) == 1:
        return next(iter(found))
    parts = sorted(found.items(), key=lambda item: -len(item[1]))
    return "; ".join(f"{v} ({', '.join(who) if len(who) <= 3 else f'{len(who)} runs'})" for v, who in parts)
