"""The commands ``sweep`` and ``sweep worker``: from options to workers, with progress for the user."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lightning_mm.errors import InputError
from lightning_mm.runs import require_writable
from lightning_mm.search.launch import Launcher, default_workers, gpus, worker_command
from lightning_mm.search.objective import Objective
from lightning_mm.search.reading import check, read_spec
from lightning_mm.search.spec import SweepSpec
from lightning_mm.search.storage import normalised, open_storage
from lightning_mm.search.study import begin, join
from lightning_mm.search.worker import Worker

Wandb = Literal["off", "offline", "online"]


def sweep(
    spec: Path,
    trials: int | None = None,
    workers: int | None = None,
    dir: Path | None = None,
    storage: str | None = None,
    settings: dict[str, Any] | None = None,
    wandb: Wandb | None = None,
) -> Path:
    """Search architectures: train the reference models and variants, and trials until the target number is reached.

    'lightning-mm sweep worker' joins a sweep, 'lightning-mm sweep promote' takes a model out of one. Running it
    again continues, or does nothing when the target is reached. Ctrl-C stops at once; the models under way go on from
    their last checkpoints next time.

    Args:
        spec: A YAML file of sweeps/, such as sweeps/smoke.yaml.
        trials: Number of trials to reach; the file's own number when left out.
        workers: Processes that train at the same time; one for each GPU, or one, when left out. More can join from
            other machines with 'lightning-mm sweep worker'.
        dir: Directory of the study; runs/NAME when left out.
        storage: Database URL of the study, such as postgresql://user@host/db. When left out, what the environment
            variable OPTUNA_STORAGE says, or else an SQLite file in the directory of the study.
        settings: Dotted keys and values to add to the file's settings, such as '{data.photos: photos/}'.
        wandb: Log every run to Weights & Biases: "offline" needs no account, "online" a key. What the environment
            variable WANDB_MODE says when left out, and offline without one.

    Returns:
        The directory of the study.
    """
    found = _with_options(read_spec(spec), trials, settings)
    if workers is not None and workers < 1:
        raise InputError(f"workers = {workers}: must be >= 1")
    directory = dir or Path("runs") / found.name
    url = normalised(storage or os.environ.get("OPTUNA_STORAGE") or f"sqlite:///{directory / 'study.db'}")
    require_writable(directory, "dir", folder=True)
    check(found, directory / "check")
    number = workers or default_workers()
    if "latency" in found.objectives and number > (most := max(1, len(gpus()))):
        raise InputError(f"workers = {number}: they would disturb each other's latency; at most {most} here")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"dir {directory}: cannot be made ({error.strerror})") from None
    with _shown(found.name, found.runs) as (say, progress), closing(open_storage(url, announce=say)) as opened:
        study = begin(found, directory, opened)
        if number == 1:
            Worker(study, Objective(found, directory, _wandb_mode(wandb)), say).run(progress)
        else:
            more = ["--wandb", _wandb_mode(wandb)]
            Launcher(study, worker_command(found.name, str(directory), more), number, say).run(progress)
    return directory


def worker(
    storage: str | None = None, study: str | None = None, dir: Path | None = None, wandb: Wandb | None = None
) -> None:
    """Join a sweep, from this machine or another, and train its models until none is left.

    The study itself holds the search space, the budget and the experiment files; folders that they name, such as
    photos, must exist here. A shared directory lets a model go on from its checkpoint when another machine has died.

    Args:
        storage: Database URL of the study, as given to 'lightning-mm sweep'; what the environment variable
            OPTUNA_STORAGE says when left out.
        study: Name of the sweep; may be left out where the storage holds one only.
        dir: Directory of the study on this machine; the one it was begun in, or else runs/NAME, when left out.
        wandb: As for 'lightning-mm sweep'.
    """
    url = storage or os.environ.get("OPTUNA_STORAGE")
    if url is None:
        raise InputError(
            "storage: not given; --storage or the environment variable OPTUNA_STORAGE must be a database URL"
        )
    announce = partial(_say, Console(file=sys.stderr))
    with closing(open_storage(url, announce=announce)) as opened:
        found = join(opened, study, dir)
        Worker(found, Objective(found.spec, found.directory, _wandb_mode(wandb)), announce).run()


@contextmanager
def _shown(name: str, total: int) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Ways to print a line and to show progress, on standard error."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"sweep {name}", total=total)
        yield partial(_say, console), lambda done, total: bar.update(task, completed=done, total=total)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _with_options(spec: SweepSpec, trials: int | None, settings: dict[str, Any] | None) -> SweepSpec:
    """A sweep with the number of trials and the settings that the command line gives.

    Raises:
        InputError: The sweep cannot have them.
    """
    try:
        spec = spec if trials is None else replace(spec, trials=trials)
        return replace(spec, settings={**spec.settings, **settings}) if settings else spec
    except ValueError as error:
        raise InputError(f"on the command line: {error}") from None


def _wandb_mode(given: Wandb | None) -> Wandb:
    if given is not None:
        return given
    modes: dict[str, Wandb] = {"online": "online", "disabled": "off"}
    return modes.get(os.environ.get("WANDB_MODE", ""), "offline")
