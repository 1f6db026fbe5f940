"""Reading a sweep's file, or the study that keeps a copy of it, and finding its mistakes before anything starts."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from lightning_mm.configuration import TrainingCLI, build, check_data, read_dataclass
from lightning_mm.cost import cost
from lightning_mm.errors import InputError, one_line
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import ARCH_PREFIX, write_text_atomically
from lightning_mm.search.slots import Slot
from lightning_mm.search.spec import Pruning, SweepSpec

_DRAWS = 300  # random members of a space to find out whether any meets the constraints


def read_spec(path: Path) -> SweepSpec:
    """Read a sweep's YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    missing = "no such sweep file; the ones that ship are in sweeps/"
    return read_dataclass(path, SweepSpec, missing, _check_distributions, _files)


def stored_form(spec: SweepSpec) -> dict[str, Any]:
    """What a study keeps of its sweep, the text of the experiment files included: a worker needs nothing else."""
    files = {str(path): path.read_text(encoding="utf-8") for path in _files(spec)}
    return {"spec": spec.to_dict(), "files": files}


def from_stored_form(stored: dict[str, Any], directory: Path) -> SweepSpec:
    """The sweep that a study keeps, its experiment files written below a directory.

    Args:
        stored: As of ``stored_form``.
        directory: The study's directory on this machine; the files go to ``configs/`` in it.

    Raises:
        InputError: The study was made by another version of this package, or the files cannot be written.
    """
    names = {path: directory / "configs" / path.strip("/").replace("/", "_") for path in stored["files"]}
    try:
        for path, text in stored["files"].items():
            if not names[path].is_file() or names[path].read_text(encoding="utf-8") != text:
                write_text_atomically(names[path], text)
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error.strerror})") from None
    fields = dict(stored["spec"])
    if fields.keys() != SweepSpec.__dataclass_fields__.keys():
        raise InputError("the study was begun by another version of lightning_mm; join it with that one")
    fields["space"] = {key: json_to_distribution(text) for key, text in fields["space"].items()}
    fields["configs"] = [names[path] for path in fields["configs"]]
    fields["references"] = {name: names[path] for name, path in fields["references"].items()}
    fields["pruning"] = None if fields["pruning"] is None else Pruning(**fields["pruning"])
    return SweepSpec(**fields)


def check(spec: SweepSpec, directory: Path) -> None:
    """Build every reference and variant and both ends of every key's range, so that a mistake is refused in advance.

    Args:
        spec: The sweep.
        directory: Named in configurations; nothing is written to it.

    Raises:
        InputError: A key does not exist, a value is not accepted, or no member of the space meets the constraints; the
            message names it.
    """
    first = member(spec)
    for name in spec.references:
        check_data(build(spec.arguments(directory, {}, name)))
    for name, keys in spec.variants.items():
        try:
            check_data(build(spec.arguments(directory, keys)))
        except InputError as error:
            raise InputError(f"variant '{name}': {error}") from None
    for key, distribution in spec.space.items():
        for value in _ends(distribution):
            try:
                build(spec.arguments(directory, {**first, key: value}))
            except InputError as error:
                raise InputError(f"space {key} = {value!r}: {error}") from None
    plain = build(spec.arguments(directory, first))
    check_data(plain)
    if spec.pruning is not None and spec.pruning.min_resource >= (epochs := plain.trainer.max_epochs or 0):
        raise InputError(
            f"pruning.min_resource = {spec.pruning.min_resource}: must be < trainer.max_epochs = {epochs}, or "
            "nothing is ever pruned"
        )
    _check_constraints(spec, plain)


def architecture(base: MagnifierConfig, overrides: dict[str, Any]) -> MagnifierConfig:
    """The architecture that overrides make of another, without building a network.

    Raises:
        ValueError: The values do not go together.
    """
    changed = {key.removeprefix(ARCH_PREFIX): value for key, value in overrides.items() if key.startswith(ARCH_PREFIX)}
    return replace(base, **changed)


def reference_params(spec: SweepSpec, name: str, directory: Path, base: dict[str, Any]) -> dict[str, Any] | None:
    """The place of a reference in the space: a value of every key; ``None`` where it lies outside.

    Args:
        spec: The sweep.
        name: The reference.
        directory: Named in configurations; nothing is written to it.
        base: The configuration of some member of the space.
    """
    config = build(spec.arguments(directory, {}, name)).plain_config()
    try:
        params = {key: _lookup(config, key) for key in spec.space}
        optuna.create_trial(params=params, distributions=spec.space, value=0.0)
    except (KeyError, ValueError):
        return None
    # A reference that differs in something else as well is no member of the space, however its values look.
    return params if _rest(config, spec) == _rest(base, spec) else None


def slots(spec: SweepSpec, directory: Path) -> tuple[list[Slot], list[Slot]]:
    """What is to be trained: models that are no members of the space, then members (references first, then trials).

    Args:
        spec: The sweep.
        directory: Named in configurations; nothing is written to it.
    """
    named, members = [], []
    base = build(spec.arguments(directory, member(spec))).plain_config() if spec.space and spec.references else {}
    for name in spec.references:
        params = reference_params(spec, name, directory, base) if spec.space else None
        slot = Slot(f"reference {name}", "reference", name, params or {})
        (named if params is None else members).append(slot)
    return [*named, *spec.variant_slots()], [*members, *spec.trial_slots()]


def member(spec: SweepSpec) -> dict[str, Any]:
    """Some member of the space."""
    return {key: _ends(distribution)[0] for key, distribution in spec.space.items()}


def _check_constraints(spec: SweepSpec, plain: TrainingCLI) -> None:
    if not spec.constraints:
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(_DRAWS):
        try:
            found.append(cost(architecture(plain.model.arch, spec.suggest(study.ask()))))
        except ValueError:
            continue
    if any(all(excess <= 0 for excess in spec.violations(one).values()) for one in found):
        return
    flops = [one.paper_gflops for one in found] or [float("nan")]
    params = [one.params / 1e6 for one in found] or [float("nan")]
    wanted = ", ".join(f"{name} <= {bound:g}" for name, bound in spec.constraints.items())
    raise InputError(
        f"constraints {wanted}: met by none of {_DRAWS} random members of the space, whose flops are {min(flops):.3g} "
        f"to {max(flops):.3g} (1e9, the paper's) and whose params are {min(params):.3g} to {max(params):.3g} (1e6)"
    )


def _check_distributions(parser: ArgumentParser, parsed: Namespace) -> None:
    """Build each distribution by itself, because Optuna's messages do not say which key they are about."""
    for key, distribution in parsed.space.items():
        alone = parsed.clone()
        alone.space = {key: distribution}
        alone.settings = {}
        try:
            parser.instantiate(alone)
        except (ArgumentError, ValueError, TypeError) as error:
            raise ValueError(f"space {key}: {one_line(error)}") from None


def _ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)


def _lookup(tree: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        tree = tree[part]
    return tree


def _rest(config: dict[str, Any], spec: SweepSpec) -> dict[str, Any]:
    """A configuration without what is searched, and without where the run goes and how it is recorded."""
    rest = deepcopy(config)
    rest["run"] = {key: rest["run"][key] for key in ("ema_decay", "weights")}
    for key in spec.space:
        *parts, last = key.split(".")
        del _lookup(rest, ".".join(parts))[last]
    return rest


def _files(spec: SweepSpec) -> list[Path]:
    return [*spec.configs, *spec.references.values()]
