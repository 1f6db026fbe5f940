"""The ``sweep`` command: reads the file, shows progress, runs the study in this process on one device."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lightning_mm.search.spec import read_spec
from lightning_mm.search.sweep import Sweep


def sweep(
    spec: Path,
    trials: int | None = None,
    dir: Path | None = None,
    storage: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Search architectures: train the reference models and variants, then trials until the target number is reached.

    Running it again continues, or does nothing when the target is reached. Ctrl-C stops at once; the trial under way
    goes on from its last checkpoint next time.

    Args:
        spec: A YAML file of sweeps/, such as sweeps/smoke.yaml.
        trials: Number of trials to reach; the file's own number when left out.
        dir: Directory of the study; runs/NAME when left out.
        settings: Dotted keys and values to add to the file's settings, such as '{data.photos: photos/}'.
        storage: Database URL of the study; an SQLite file in its directory when left out.

    Returns:
        The directory of the study.
    """
    found = read_spec(spec)
    if trials is not None:
        found = replace(found, trials=trials)
    if settings:
        found = replace(found, settings={**found.settings, **settings})
    directory = dir or Path("runs") / found.name
    found.check(directory / "check")
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"sweep {found.name}", total=found.runs)

        def announce(line: str) -> None:
            console.print(line, highlight=False, soft_wrap=True)

        study = Sweep(found, directory, storage or f"sqlite:///{directory / 'study.db'}", announce)
        study.run(lambda done, total: bar.update(task, completed=done, total=total))
    return directory
