"""Opening a sweep's studies in its storage: what belongs to one sweep stays one sweep."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from lightning_mm.errors import InputError
from lightning_mm.runs import fingerprint, require_writable
from lightning_mm.search.reading import from_stored_form, slots, stored_form
from lightning_mm.search.slots import Board, Slot
from lightning_mm.search.spec import NAMED, SweepSpec
from lightning_mm.search.storage import PatientStorage, hide_password

_METRIC_NAMES = {"ssim": "SSIM", "flops": "paper GFLOPs", "latency": "ms per frame"}


@dataclass
class Sweep:
    """A sweep in its storage.

    Attributes:
        spec: What is searched and compared.
        directory: Its directory on this machine.
        storage: Where its studies are.
        boards: Models that are no members of the space, then those that are; either may be absent.
    """

    spec: SweepSpec
    directory: Path
    storage: PatientStorage
    boards: list[Board]

    @property
    def searched(self) -> Board | None:
        """The board of the members of the space."""
        return next((board for board in self.boards if not board.study.study_name.endswith(NAMED)), None)

    def finished(self) -> int:
        """Number of models that have an outcome."""
        return sum(board.finished() for board in self.boards)

    def fill(self) -> None:
        """Queue what is missing."""
        for board in self.boards:
            board.fill()


def begin(spec: SweepSpec, directory: Path, storage: PatientStorage) -> Sweep:
    """Open a sweep, making its studies where there are none, and queue what is missing.

    Args:
        spec: The sweep; its number of trials replaces the one that the studies know.
        directory: Directory of the study.
        storage: Where the studies are kept.

    Raises:
        InputError: The study holds another search space, budget or reference.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    named, members = slots(spec, directory)
    digest, boards = spec.digest(), []
    for name, queued in ((spec.name + NAMED, named), (spec.name, members)):
        if not queued:
            continue
        study = optuna.create_study(storage=storage, study_name=name, directions=spec.directions, load_if_exists=True)
        known = study.user_attrs
        if known.get("digest", digest) != digest or study.directions != spec.directions:
            advice = "give the changed sweep another name, or delete the study and its directory"
            raise InputError(
                f"{hide_password(storage.url)}: study '{spec.name}' has another space, budget, objective or reference; "
                f"{advice}"
            )
        if study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([_METRIC_NAMES[objective] for objective in spec.objectives])
        told = {"digest": digest, "sweep": stored_form(spec), "directory": str(directory.absolute())}
        for key, value in told.items():
            if known.get(key) != value:
                study.set_user_attr(key, value)
        boards.append(_board(study, storage, queued, spec))
    sweep = Sweep(spec, directory, storage, boards)
    sweep.fill()
    return sweep


def join(storage: PatientStorage, name: str | None, directory: Path | None) -> Sweep:
    """Open a sweep that somebody has begun, by nothing but its storage.

    Args:
        storage: Where its studies are kept.
        name: Name of the sweep; the only one in the storage when left out.
        directory: Its directory on this machine; the one it was begun in, where that exists, or runs/NAME when left
            out.

    Raises:
        InputError: There is no such sweep, or several and no name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies = {s: optuna.load_study(study_name=s, storage=storage) for s in optuna.get_all_study_names(storage)}
    attrs: dict[str, dict[str, Any]] = {s.removesuffix(NAMED): study.user_attrs for s, study in studies.items()}
    sweeps = {sweep: known for sweep, known in attrs.items() if "sweep" in known}
    where = hide_password(storage.url)
    if not sweeps:
        raise InputError(f"{where}: holds no sweep; begin one with 'lightning-mm sweep FILE --storage URL'")
    if name is None and len(sweeps) > 1:
        raise InputError(f"{where}: holds several sweeps; choose one with --study: {', '.join(sorted(sweeps))}")
    chosen = name or next(iter(sweeps))
    if chosen not in sweeps:
        raise InputError(f"{where}: holds no sweep '{chosen}'; there are {', '.join(sorted(sweeps))}")
    known = sweeps[chosen]
    if directory is None:
        directory = Path(known["directory"])
        directory = directory if directory.is_dir() else Path("runs") / chosen
    require_writable(directory, "dir", folder=True)
    spec = from_stored_form(known["sweep"], directory)
    named, members = slots(spec, directory)
    boards = [
        _board(studies[study], storage, queued, spec)
        for study, queued in ((chosen + NAMED, named), (chosen, members))
        if queued
    ]
    return Sweep(spec, directory, storage, boards)


def _board(study: optuna.Study, storage: PatientStorage, queued: list[Slot], spec: SweepSpec) -> Board:
    if spec.pruning is not None:
        study.pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=spec.pruning.min_resource, reduction_factor=spec.pruning.reduction_factor
        )
    else:
        study.pruner = optuna.pruners.NopPruner()
    return Board(study, storage, queued, _samplers(spec))


def _samplers(spec: SweepSpec) -> Callable[[int], optuna.samplers.BaseSampler]:
    """A sampler for each trial, seeded by its number: which worker draws it makes no difference."""

    def sampler(number: int) -> optuna.samplers.BaseSampler:
        seed = int(fingerprint([spec.seed, number])[:8], 16)
        if spec.sampler == "nsga2":
            # Optuna's own 50 would make nearly all of a study of 60 trials its random first generation.
            return optuna.samplers.NSGAIISampler(population_size=max(8, spec.target // 6), seed=seed)
        return optuna.samplers.TPESampler(seed=seed) if spec.sampler == "tpe" else optuna.samplers.RandomSampler(seed)

    return sampler
