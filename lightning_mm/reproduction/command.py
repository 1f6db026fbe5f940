"""The command ``lightning-mm reproduce``: trains what a table of the paper needs and is not there yet."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_mm.configuration import build, check_data
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.recording import LAST
from lightning_mm.reproduction.ledger import Ledger
from lightning_mm.reproduction.running import train
from lightning_mm.reproduction.spec import BUDGETS, Budget, Job, TableSpec, jobs, read_budget, read_table
from lightning_mm.reproduction.speed import Speeds, frames_per_second
from lightning_mm.runs import RESULTS_FILE, Results, require_writable
from lightning_mm.search.launch import default_workers

DEFAULT_BUDGET = BUDGETS / "smoke.yaml"


@dataclass(frozen=True)
class Reproduction:
    """A table whose rows are trained, as far as they could be.

    Attributes:
        table: The table.
        budget: The budget.
        directory: Of all runs of the budget; what is written about the table goes there.
        results: By name of the row, directory and results of each seed, lowest first.
        absent: By name of the row, why seeds are missing.
        removed: By name of the row, what removals cut, in words.
        speeds: Frames per second of the lowest seed's network of each row; with removals, seeds can differ in it.
        curves: Rows of each curve by its name, as of ``lightning_mm.evaluation``; empty without any.
        command: The command that makes it.
    """

    table: TableSpec
    budget: Budget
    directory: Path
    results: dict[str, list[tuple[Path, Results]]]
    absent: dict[str, list[str]]
    removed: dict[str, str]
    speeds: Speeds
    curves: dict[str, list[dict[str, Any]]]
    command: str


def reproduce(
    table: Path,
    budget: Path = DEFAULT_BUDGET,
    dir: Path | None = None,
    settings: dict[str, Any] | None = None,
    seeds: list[int] | None = None,
    workers: int | None = None,
) -> Reproduction:
    """Train the rows of a table or figure of the paper on one budget, and put the outcome beside the paper's numbers.

    The same command continues what was interrupted, and trains nothing again that is trained; tables that share rows
    share their trainings. One command at a time trains in a directory.

    Args:
        table: The table, such as experiments/tables/2.yaml.
        budget: The budget, such as experiments/budgets/cpu.yaml.
        dir: Directory for runs and pages; runs/reproduce_BUDGET when left out.
        settings: Dotted keys that prevail over the budget's, such as {data.photos: photos, model.lpips: squeeze}.
        seeds: Seeds of every row instead of the budget's.
        workers: How many rows train at a time, one process and device each; one per GPU when left out.
    """
    spec, money = read_table(table), read_budget(budget)
    if seeds is not None:
        try:
            money = replace(money, seeds=seeds)
        except ValueError as error:
            raise InputError(str(error)) from None
    count = default_workers() if workers is None else workers
    if count < 1:
        raise InputError(f"workers = {workers}: must be >= 1")
    directory = dir or Path("runs") / f"reproduce_{budget.stem}"
    require_writable(directory, "dir", folder=True)
    work = jobs(spec, money, directory, settings or {})
    ledger = Ledger(directory)
    ledger.require_same(work)
    unusable = _unusable(spec, ledger.missing(work))
    train([job for job in work if job.row not in unusable], ledger, count, _say)
    results = _results(spec, work)
    if not any(results.values()):
        reasons = dict.fromkeys([*unusable.values(), *ledger.diverged().values()])
        raise InputError(f"{table}: no row of it could be trained: {'; '.join(reasons)}")
    networks = {name: MagnifierConfig(**found[0][1].arch) for name, found in results.items() if found}
    _say(f"frames per second of {len(networks)} networks")
    speeds = frames_per_second(networks, money.fps_size, directory / f"{spec.name}_fps.json", money.fps_seconds)
    curves = _curves(spec, money, results, directory) if spec.curves else {}
    command = ["lightning-mm", "reproduce", str(table), "--budget", str(budget)]
    command += ["--dir", str(dir)] if dir is not None else []
    command += ["--settings", json.dumps(settings)] if settings else []
    command += ["--seeds", json.dumps(seeds)] if seeds is not None else []
    absent = _absent(spec, work, unusable, ledger)
    return Reproduction(
        spec, money, directory, results, absent, _removed(spec, results), speeds, curves,
        shlex.join(command),
    )  # fmt: skip


def _unusable(spec: TableSpec, missing: Sequence[Job]) -> dict[str, str]:
    """Build every row to train, before anything is written; reasons of those that want a file that cannot be had."""
    found: dict[str, str] = {}
    first = {job.row: job for job in reversed(missing)}
    for name in (name for name in spec.trained if name in first):
        job = first[name]
        try:
            if job.kind == "removal":
                from lightning_mm.removal.prune import check

                check(job.arguments)
            else:
                check_data(build(job.arguments))
        except InputError as error:
            if not str(error).startswith("perceptual loss:"):
                raise InputError(f"row {name}: {error}") from None
            found[name] = str(error)
            _say(f"{name}: left out: {error}")
    return found


def _results(spec: TableSpec, work: Sequence[Job]) -> dict[str, list[tuple[Path, Results]]]:
    found: dict[str, list[tuple[Path, Results]]] = {name: [] for name in spec.trained}
    for job in sorted(work, key=lambda job: job.seed):
        if (job.directory / RESULTS_FILE).exists():
            found[job.row].append((job.directory, Results.read(job.directory)))
    return found


def _absent(spec: TableSpec, work: Sequence[Job], unusable: dict[str, str], ledger: Ledger) -> dict[str, list[str]]:
    gone = ledger.diverged()
    found: dict[str, list[str]] = {name: [unusable[name]] if name in unusable else [] for name in spec.trained}
    for job in work:
        if job.directory.name in gone:
            found[job.row].append(f"seed {job.seed} diverged: {gone[job.directory.name]}")
    return {name: reasons for name, reasons in found.items() if reasons}


def _removed(spec: TableSpec, results: dict[str, list[tuple[Path, Results]]]) -> dict[str, str]:
    """What each removal cut, a count for each seed."""
    found = {}
    for name, row in spec.trained.items():
        if row.kind == "removal" and results[name]:
            from lightning_mm.removal.record import Removal

            components = [Removal.read(path).components for path, _ in results[name]]
            counts = [f"{sum(one['removed'] for one in seed)} of {len(seed)}" for seed in components]
            found[name] = "; ".join(dict.fromkeys(counts))
    return found


def _curves(
    spec: TableSpec, budget: Budget, results: dict[str, list[tuple[Path, Results]]], directory: Path
) -> dict[str, list[dict[str, Any]]]:
    """The protocols' rows by name of the curve; a method is a row's name, or one that needs no training."""
    from lightning_mm.evaluation.command import judged_before, run_protocols
    from lightning_mm.evaluation.protocol import Options

    names = {str(found[0][0] / LAST): name for name, found in results.items() if found}
    options = Options(samples=budget.curve_samples, size=budget.curve_size)
    out = directory / f"{spec.name}_curves"
    judged = judged_before(out, list(names), options)
    if judged is None:
        judged = run_protocols(list(names), [*spec.curves], options, out=out, say=_say)
    tables = [one["tables"] for one in judged["protocols"].values()]
    return {
        curve: [{**row, "method": names.get(row["method"], row["method"])} for row in rows]
        for table in tables
        for curve, rows in table.items()
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
