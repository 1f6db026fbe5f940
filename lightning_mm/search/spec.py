"""What a sweep searches and compares, as data."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.study import StudyDirection
from optuna.trial import Trial

from lightning_mm.configuration import as_arguments
from lightning_mm.cost import CostReport
from lightning_mm.runs import ARCH_PREFIX, fingerprint
from lightning_mm.search.slots import Slot

PREFIXES = ("model.", "data.", "trainer.", "run.ema_decay")
NAMED = "-named"
"""Ending of the study of models that are no members of the space: variants, and references that differ in more."""

COSTS = ("flops", "latency")
"""Objectives that are to be low."""

Objective = Literal["ssim", "flops", "latency"]
Bound = Literal["flops", "params"]


@dataclass(frozen=True)
class Pruning:
    """Asynchronous successive halving (Li et al., 2020) on the validation SSIM after each epoch.

    Args:
        min_resource: Epochs that every trial gets. Deep and narrow networks start slowly: be generous.
        reduction_factor: At each rung one of this many goes on, for this many times the epochs.
    """

    min_resource: int
    reduction_factor: int = 3

    def __post_init__(self) -> None:
        """Refuse values that prune nothing or everything."""
        if self.min_resource < 1:
            raise ValueError(f"pruning.min_resource = {self.min_resource}: must be >= 1 epoch")
        if self.reduction_factor < 2:
            raise ValueError(f"pruning.reduction_factor = {self.reduction_factor}: must be >= 2")


@dataclass(frozen=True)
class SweepSpec:
    """A sweep: models that are trained on one budget, to be compared.

    A *trade-off* study has two objectives, SSIM and a cost; a *budget* study has SSIM alone, its constraints are
    checked before a trial is trained, and it may prune.

    Args:
        name: Name of the study; its directory is ``runs/NAME``.
        description: One sentence for the report.
        configs: Experiment files that every run starts from, merged left to right.
        settings: Dotted keys that hold for every run, references included: the budget.
        space: Dotted keys to search, each with an Optuna distribution (IntDistribution, FloatDistribution or
            CategoricalDistribution with its arguments). Empty where only variants are compared.
        objectives: "ssim" (up) with "flops" (the paper's, in 1e9, down) or "latency" (measured milliseconds per frame,
            down), or "ssim" alone.
        constraints: Upper bounds, known before training, that trials must meet: "flops" (the paper's, in 1e9) and
            "params" (in 1e6). References are trained whether they meet them or not.
        pruning: Successive halving; only for "ssim" alone.
        references: Experiment files of named models that are trained on the same budget, for comparison.
        variants: Named sets of dotted keys and values, such as the rows of an ablation, each trained on the budget of
            the settings; they prevail over them.
        seeds: Seeds that each model is trained with; an objective is the mean over them. Pruning looks at the first.
        trials: Number of trials to reach, where there is a space.
        sampler: "tpe", "nsga2" or "random".
        seed: Seed of the sampler.
    """

    name: str
    configs: list[Path]
    space: dict[str, BaseDistribution] = field(default_factory=dict)
    description: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    objectives: list[Objective] = field(default_factory=lambda: ["ssim", "flops"])
    constraints: dict[Bound, float] = field(default_factory=dict)
    pruning: Pruning | None = None
    references: dict[str, Path] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    trials: int = 12
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can be seen to be wrong without building a model."""
        if not self.name or "/" in self.name or self.name.startswith(".") or self.name.endswith(NAMED):
            raise ValueError(f"name = {self.name!r}: must be usable as a directory's name, and not end in {NAMED}")
        if not self.space and not self.variants:
            raise ValueError("space is empty: must hold at least one dotted key, such as model.arch.decoder_depth")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {self.seeds}: must be one or more different numbers")
        if self.trials < 1:
            raise ValueError(f"trials = {self.trials}: must be >= 1")
        for kind, names in (("variant", self.variants), ("reference", self.references)):
            for name in names:
                if "/" in name or name.startswith("."):
                    raise ValueError(f"{kind} '{name}': must be usable as a directory's name")
        for key in (*self.space, *self.settings, *(key for keys in self.variants.values() for key in keys)):
            if not key.startswith(PREFIXES):
                raise ValueError(f"{key}: no hyperparameter; keys begin with {', '.join(PREFIXES)}")
        own = {
            "trainer.devices": "a sweep trains each model on one device; run as many workers as there are devices",
            "data.seed": "use seeds",
        }
        for keys in (self.space, self.settings, *self.variants.values()):
            for key in own.keys() & keys.keys():
                raise ValueError(f"{key} = {keys[key]}: not used here; {own[key]}")
        if twice := self.space.keys() & self.settings.keys():
            raise ValueError(f"{min(twice)}: in both space and settings")
        self._check_objectives()

    def _check_objectives(self) -> None:
        if self.objectives not in (["ssim"], ["ssim", "flops"], ["ssim", "latency"]):
            raise ValueError(f"objectives = {self.objectives}: must be [ssim, flops], [ssim, latency] or [ssim]")
        for name, bound in self.constraints.items():
            if name not in get_args(Bound):
                raise ValueError(f"constraints.{name}: no constraint; must be {' or '.join(get_args(Bound))}")
            if not bound > 0:
                raise ValueError(f"constraints.{name} = {bound}: must be > 0")
        if self.constraints and not any(key.startswith(ARCH_PREFIX) for key in self.space):
            raise ValueError("constraints: no key of the space changes the architecture")
        if self.constraints and self.sampler == "nsga2":
            raise ValueError("sampler = nsga2: does not see what misses the constraints; use tpe or random")
        if self.pruning is not None and len(self.objectives) > 1:
            raise ValueError("pruning: needs objectives: [ssim]; Optuna prunes studies of one objective only")

    @property
    def target(self) -> int:
        """Trials to reach; 0 where nothing is searched."""
        return self.trials if self.space else 0

    @property
    def runs(self) -> int:
        """Models to be trained in all."""
        return len(self.references) + len(self.variants) + self.target

    @property
    def directions(self) -> list[StudyDirection]:
        """Direction of each objective, for Optuna."""
        return [StudyDirection.MINIMIZE if name in COSTS else StudyDirection.MAXIMIZE for name in self.objectives]

    def variant_slots(self) -> list[Slot]:
        """A slot for each variant."""
        return [Slot(f"variant {name}", "variant", name) for name in self.variants]

    def trial_slots(self) -> list[Slot]:
        """A slot for each trial to reach."""
        return [Slot(f"trial {number:04d}", "trial", f"{number:04d}") for number in range(self.target)]

    def digest(self) -> str:
        """Fingerprint of what makes trials comparable: configurations, settings, space; not the number of trials."""
        files = {str(path): path.read_text() for path in (*self.configs, *self.references.values())}
        plain = self.to_dict()
        del plain["trials"], plain["description"]
        return fingerprint({**plain, "files": files})

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain types, distributions as Optuna's JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["space"] = {key: distribution_to_json(value) for key, value in self.space.items()}
        plain["pruning"] = None if self.pruning is None else vars(self.pruning)
        return json.loads(json.dumps(plain, default=str))

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Ask a trial for a value of every key."""
        return {key: _suggest(trial, key, distribution) for key, distribution in self.space.items()}

    def overrides(self, slot: Slot, values: dict[str, Any]) -> dict[str, Any]:
        """What distinguishes a slot's model from the others: a trial's values, a variant's settings."""
        return {"trial": values, "variant": self.variants.get(slot.name, {}), "reference": {}}[slot.role]

    def arguments(
        self, run_dir: Path, overrides: dict[str, Any], reference: str | None = None, seed: int | None = None
    ) -> list[str]:
        """Command-line arguments of one run: ``fit`` with these is that run."""
        files = [*self.configs, *([self.references[reference]] if reference is not None else [])]
        seeds = {} if seed is None else {"data.seed": seed, "seed_everything": seed}
        one = {"trainer.devices": 1, "run.dir": str(run_dir)}
        return as_arguments(files, {**self.settings, **seeds, **overrides, **one})

    def violations(self, cost: CostReport) -> dict[Bound, float]:
        """By how much a model exceeds each constraint; not above 0 where it meets it."""
        have: dict[Bound, float] = {"flops": cost.paper_gflops, "params": cost.params / 1e6}
        return {name: have[name] - bound for name, bound in self.constraints.items()}


def _suggest(trial: Trial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(key, distribution.choices)
