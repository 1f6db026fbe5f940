"""Reading what a report is about: the runs below a directory and its ``sweep.json``."""

import json
import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.reporting.run import Run, finite, trial_label, without_seed
from lightning_mm.reporting.sweep import COMPLETE, Sweep, TrialRecord
from lightning_mm.reporting.threshold import PAPER_THRESHOLD, Threshold
from lightning_mm.runs import RESULTS_FILE, Results

SWEEP_FILE = "sweep.json"

_KINDS = {
    "name": str,
    "description": str,
    "objectives": list,
    "constraints": dict,
    "target_trials": int,
    "counts": dict,
    "failures": list,
    "space": dict,
    "trials": list,
}


def collect(directory: Path, threshold: Threshold = PAPER_THRESHOLD) -> Sweep:
    """Read every finished run below a directory, and its ``sweep.json`` if there is one.

    Args:
        directory: Where to look.
        threshold: The line of visual acceptability to judge by.

    Raises:
        InputError: The directory is missing or holds no finished run that counts, one of the files is not readable, or
            the threshold holds for other validation pairs.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory of runs")
    paths = [path.parent for path in sorted(directory.rglob(RESULTS_FILE))]
    if not paths:
        raise InputError(f"{directory}: no finished run in it (no {RESULTS_FILE}); a run writes it when it finishes")
    told = _read_sweep_file(directory / SWEEP_FILE)
    records = [_record(item, directory / SWEEP_FILE) for item in told.get("trials", [])]
    pairs = [(path, Results.read(path)) for path in paths]
    labels = _labels(directory, pairs)
    found = [Run(path, label, results) for (path, results), label in zip(pairs, labels, strict=True)]
    found.sort(key=lambda run: -math.inf if run.ssim is None else run.ssim, reverse=True)
    states = _states(directory, found, records)
    runs = [run for run in found if states.get(run, COMPLETE) == COMPLETE]
    if not runs:
        raise InputError(f"{directory}: none of its {len(found)} finished runs is of a complete trial")
    threshold.require_same_pairs(runs)
    return Sweep(
        directory=directory,
        name=told.get("name") or directory.resolve().name,
        runs=runs,
        left_out=[(run, states[run]) for run in found if states.get(run, COMPLETE) != COMPLETE],
        description=told.get("description") or "",
        objectives=tuple(told.get("objectives") or ()),
        constraints=told.get("constraints") or {},
        told_counts=told.get("counts") or {},
        told_failures=told.get("failures") or [],
        records=records,
        space=told.get("space") or {},
        target_trials=told.get("target_trials"),
        threshold=threshold,
    )


def _states(directory: Path, runs: list[Run], records: list[TrialRecord]) -> dict[Run, str]:
    """State of the trial of each run that a search recorded; complete where one of several attempts is."""
    found: dict[str, str] = {}
    for record in records:
        if record.run is not None and found.get(record.run) != COMPLETE:
            found[record.run] = record.state if record.state != COMPLETE or record.is_complete else "not finite"
    states = {}
    for run in runs:
        where = run.path.relative_to(directory).as_posix()
        state = found.get(where, found.get(without_seed(where, run.seed)))
        if state is not None:
            states[run] = state
    return states


def _labels(directory: Path, pairs: list[tuple[Path, Results]]) -> list[str]:
    names = [trial_label(path.name) if results.role == "trial" else results.name for path, results in pairs]
    times = Counter(names)
    return [
        name if times[name] == 1 else f"{name} ({path.relative_to(directory)})"
        for name, (path, _) in zip(names, pairs, strict=True)
    ]


def _read_sweep_file(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a sweep file (expected an object, found {type(data).__name__})")
    for key, kind in _KINDS.items():
        if data.get(key) is not None and not isinstance(data[key], kind):
            raise InputError(f"{path}: {key} is of type {type(data[key]).__name__}, must be {kind.__name__}")
    for name, bound in (data.get("constraints") or {}).items():
        if finite(bound) is None or bound <= 0:
            raise InputError(f"{path}: constraints.{name} = {bound!r}: must be a number > 0")
    if not all(isinstance(failure, dict) for failure in data.get("failures") or []):
        raise InputError(f"{path}: failures must be objects with number and reason")
    return {key: value for key, value in data.items() if value is not None}


def _record(item: Any, path: Path) -> TrialRecord:
    try:
        return TrialRecord(
            number=int(item["number"]),
            state=str(item["state"]),
            run=item.get("run"),
            params=dict(item.get("params") or {}),
            values=tuple(math.nan if v is None else float(v) for v in item.get("values") or ()),
            started=_time(item.get("started")),
            ended=_time(item.get("ended")),
            reason=item.get("reason"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: trials: not a record of a trial: {str(item)[:80]} ({what})") from None


def _time(text: str | None) -> datetime | None:
    """A time; one without a zone is in UTC, as Optuna's are, so that all can be subtracted."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
