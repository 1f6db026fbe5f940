"""What a sweep searches, as data read from a YAML file of ``sweeps/``."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import Trial

from lightning_mm.errors import InputError, one_line
from lightning_mm.runs import fingerprint
from lightning_mm.training import as_arguments, build

PREFIXES = ("model.", "data.", "trainer.", "run.ema_decay")


@dataclass(frozen=True)
class SweepSpec:
    """A sweep: SSIM up, the paper's FLOPs down, each trial trained on the same budget.

    Args:
        name: Name of the study; its directory is ``runs/NAME``.
        description: One sentence for the report.
        configs: Experiment files that every run starts from, merged left to right.
        settings: Dotted keys that hold for every run, references included: the budget.
        space: Dotted keys to search, each with an Optuna distribution (IntDistribution, FloatDistribution or
            CategoricalDistribution with its arguments). Empty where only variants are compared.
        references: Experiment files of named models that are trained on the same budget, for comparison.
        variants: Named sets of dotted keys and values, such as the rows of an ablation, each trained on the budget of
            the settings; they prevail over them.
        seeds: Seeds that each variant is trained with.
        trials: Number of trials to reach, where there is a space.
        sampler: "tpe", "nsga2" or "random".
        seed: Seed of the sampler.
    """

    name: str
    configs: list[Path]
    space: dict[str, BaseDistribution] = field(default_factory=dict)
    description: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    references: dict[str, Path] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    trials: int = 12
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can be seen to be wrong without building a model."""
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ValueError(f"name = {self.name!r}: must be usable as a directory's name")
        if not self.space and not self.variants:
            raise ValueError("space is empty: must hold at least one dotted key, such as model.arch.decoder_depth")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {self.seeds}: must be one or more different numbers")
        if self.trials < 1:
            raise ValueError(f"trials = {self.trials}: must be >= 1")
        for name in self.variants:
            if "/" in name or name.startswith("."):
                raise ValueError(f"variant '{name}': must be usable as a directory's name")
        for key in (*self.space, *self.settings, *(key for keys in self.variants.values() for key in keys)):
            if not key.startswith(PREFIXES):
                raise ValueError(f"{key}: no hyperparameter; keys begin with {', '.join(PREFIXES)}")
        if twice := self.space.keys() & self.settings.keys():
            raise ValueError(f"{min(twice)}: in both space and settings")

    @property
    def target(self) -> int:
        """Trials to reach; 0 where nothing is searched."""
        return self.trials if self.space else 0

    def variant_runs(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and settings of each variant's runs, one per seed, which is in the name where there are several."""
        several = len(self.seeds) > 1
        return [
            (f"{name}-seed{seed}" if several else name, {**keys, "data.seed": seed, "seed_everything": seed})
            for seed in self.seeds
            for name, keys in self.variants.items()
        ]

    @property
    def runs(self) -> int:
        """Runs in all."""
        return len(self.references) + len(self.variants) * len(self.seeds) + self.target

    def digest(self) -> str:
        """Fingerprint of what makes trials comparable: configurations, settings and space; not the number of trials."""
        space = {key: distribution_to_json(value) for key, value in self.space.items()}
        files = {str(path): path.read_text() for path in (*self.configs, *self.references.values())}
        return fingerprint(
            {"space": space, "settings": json.loads(json.dumps(self.settings, default=str)), "files": files}
        )

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Ask a trial for a value of every key."""
        return {key: _suggest(trial, key, distribution) for key, distribution in self.space.items()}

    def arguments(self, run_dir: Path, overrides: dict[str, Any], reference: str | None = None) -> list[str]:
        """Command-line arguments of one run: ``fit`` with these is that run."""
        files = [*self.configs, *([self.references[reference]] if reference is not None else [])]
        values = {**self.settings, **overrides, "run.dir": str(run_dir)}
        return as_arguments(files, values)

    def check(self, directory: Path) -> None:
        """Build every reference and both ends of every key's range, so that a wrong key is refused in advance.

        Raises:
            InputError: A key does not exist or a value is not accepted; the message names it.
        """
        for name in self.references:
            build(self.arguments(directory, {}, name))
        for name, keys in self.variants.items():
            try:
                build(self.arguments(directory, keys))
            except InputError as error:
                raise InputError(f"variant '{name}': {error}") from None
        first = {key: _ends(distribution)[0] for key, distribution in self.space.items()}
        for key, distribution in self.space.items():
            for value in _ends(distribution):
                try:
                    build(self.arguments(directory, {**first, key: value}))
                except InputError as error:
                    raise InputError(f"space {key} = {value!r}: {error}") from None


def read_spec(path: Path) -> SweepSpec:
    """Read a sweep's YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such sweep file; the ones that ship are in sweeps/")
    parser = ArgumentParser(parser_mode="omegaconf", allow_abbrev=False, exit_on_error=False)
    parser.add_class_arguments(SweepSpec, nested_key=None)
    try:
        parsed = parser.parse_path(str(path))
        for key, distribution in parsed.space.items():
            _check_distribution(parser, parsed, key, distribution)
        spec = parser.instantiate(parsed)
        spec = SweepSpec(**{name: getattr(spec, name) for name in SweepSpec.__dataclass_fields__})
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    for file in (*spec.configs, *spec.references.values()):
        if not file.is_file():
            raise InputError(f"{path}: names {file}, which is no file (paths are relative to the current directory)")
    return spec


def _check_distribution(parser: ArgumentParser, parsed: Namespace, key: str, distribution: Any) -> None:
    """Build one distribution by itself, because Optuna's messages do not say which key they are about."""
    alone = parsed.clone()
    alone.space = {key: distribution}
    alone.settings = {}
    try:
        parser.instantiate(alone)
    except (ArgumentError, ValueError, TypeError) as error:
        raise ValueError(f"space {key}: {one_line(error)}") from None


def _suggest(trial: Trial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(key, distribution.choices)


def _ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)
