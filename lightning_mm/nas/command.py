"""The commands ``lightning-mm nas ...``."""

import sys
from pathlib import Path

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.nas.appendix import check, run_references, run_row
from lightning_mm.nas.race import Race
from lightning_mm.nas.race_spec import read_race
from lightning_mm.nas.replay import regret_table
from lightning_mm.nas.replay import replay as samplers_replayed
from lightning_mm.nas.spec import read_preset, read_row
from lightning_mm.nas.stability import TABLE_FILE, read_stability, run_stability
from lightning_mm.nas.table import at_fidelity, read_table
from lightning_mm.runs import require_writable

ROWS = "sweeps/nas_?.yaml"


def appendix(preset: Path, rows: list[Path] | None = None, dir: Path | None = None) -> Path:
    """Reproduce the paper's NAS appendix: one-shot search under each of its constraints, networks retrained, a page.

    The same command continues what was interrupted, and does nothing again that is done.

    Args:
        preset: Budget, such as sweeps/presets/smoke.yaml.
        rows: Files of constraint rows; sweeps/nas_a.yaml to nas_f.yaml when left out.
        dir: Directory for everything; runs/nas_PRESET when left out.
    """
    budget = read_preset(preset)
    files = rows or sorted(Path().glob(ROWS))
    if not files:
        raise InputError(f"rows: none given, and no {ROWS} here")
    specs = [read_row(path) for path in files]
    if len({spec.name for spec in specs}) < len(specs):
        raise InputError(f"rows = {[str(path) for path in files]}: two of them have one name")
    directory = _directory(dir, f"nas_{preset.stem}")
    check(specs, budget, directory)
    for spec in specs:
        run_row(spec, budget, directory, _say)
    run_references(budget, directory, _say)
    return directory


def race(spec: Path, dir: Path | None = None) -> Path:
    """Search one space in several ways on equal device seconds, and try the winner against the hand-designed network.

    The same command continues what was interrupted.

    Args:
        spec: File of the race, such as sweeps/races/smoke.yaml.
        dir: Directory for everything; runs/NAME when left out.
    """
    found = read_race(spec)
    directory = _directory(dir, found.name)
    Race(found, directory, _say).run()
    return directory


def stability(spec: Path, dir: Path | None = None) -> Path:
    """Find out which setting makes a supernet diverge: short trainings, one setting changed at a time.

    Args:
        spec: File of the study, such as sweeps/nas_stability.yaml.
        dir: Directory for everything; runs/NAME when left out.
    """
    found = read_stability(spec)
    directory = _directory(dir, found.name)
    run_stability(found, directory, _say)
    return directory / TABLE_FILE


def replay(table: Path, epochs: int | None = None, max_gflops: float | None = None, seeds: int = 20) -> str:
    """Replay samplers on a table of measured networks: their regret, with many seeds, for the price of none.

    Args:
        table: The table.csv of a race.
        epochs: Fidelity; the longest training in the table when left out.
        max_gflops: Cap in 1e9 of the paper's FLOPs; none when left out.
        seeds: Seeds of each sampler.
    """
    rows = read_table(table)
    fidelity = max((row.epochs for row in rows), default=0) if epochs is None else epochs
    found = samplers_replayed(at_fidelity(rows, fidelity), seeds=seeds, cap=max_gflops)
    pool = found[0].pool
    best, worst = float(np.nanmax(pool.ssim)), float(np.nanmin(pool.ssim))
    head = f"{len(pool)} networks of {table} after {fidelity} epochs, SSIM {worst:.4f} to {best:.4f}, {seeds} seeds."
    return f"{head} Regret: the best SSIM less the best found.\n\n{regret_table(found)}"


def _directory(given: Path | None, name: str) -> Path:
    directory = given or Path("runs") / name
    require_writable(directory, "dir", folder=True)
    return directory


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
