"""``sweep.json``: how a sweep stands, for reports, which never open its database."""

import json
from collections.abc import Callable
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from lightning_mm.errors import Interrupted, first_line
from lightning_mm.reporting.collect import SWEEP_FILE
from lightning_mm.reporting.sweep import STATES
from lightning_mm.runs import write_text_atomically
from lightning_mm.search.slots import Board
from lightning_mm.search.storage import hide_password
from lightning_mm.search.study import Sweep


def write_state(sweep: Sweep, announce: Callable[[str], None]) -> None:
    """Write how a sweep stands to ``sweep.json`` in its directory; where it cannot be written, say so and go on.

    Args:
        sweep: The sweep.
        announce: Called with a line of text if need be.
    """
    path = sweep.directory / SWEEP_FILE
    try:
        write_text_atomically(path, json.dumps(state(sweep), indent=1, default=str) + "\n")
    except (OSError, Interrupted) as error:  # a report less, and nothing lost
        announce(f"{path}: not written ({first_line(error)})")


def state(sweep: Sweep) -> dict[str, Any]:
    """How a sweep stands: what was asked for, every trial, and how many there are of each kind."""
    spec = sweep.spec
    trials = [_trial(board, trial) for board in sweep.boards for trial in board.trials()]
    failures = [{"number": t["number"], "reason": t["reason"]} for t in trials if t["state"] == "failed"]
    return {
        "name": spec.name,
        "description": spec.description,
        "objectives": spec.objectives,
        "constraints": spec.constraints,
        "target_trials": spec.target,
        "counts": {name: sum(t["state"] == name for t in trials) for name in STATES},
        "failures": failures,
        "space": {key: distribution_to_json(distribution) for key, distribution in spec.space.items()},
        "trials": trials,
        "storage": hide_password(sweep.storage.url),
    }


def _trial(board: Board, trial: FrozenTrial) -> dict[str, Any]:
    attrs = trial.user_attrs
    return {
        "number": trial.number,
        "study": board.study.study_name,
        "run": attrs.get("run"),
        "state": kind(trial),
        "params": trial.params,
        "values": trial.values if trial.state == TrialState.COMPLETE else None,
        "started": trial.datetime_start and trial.datetime_start.isoformat(),
        "ended": trial.datetime_complete and trial.datetime_complete.isoformat(),
        "reason": attrs.get("reason"),
    }


def kind(trial: FrozenTrial) -> str:
    """Which of ``STATES`` a trial is in."""
    if trial.state == TrialState.FAIL:
        return "lost" if "again" in trial.user_attrs else "failed"
    if trial.state == TrialState.PRUNED and "infeasible" in trial.user_attrs:
        return "infeasible"
    return trial.state.name.lower()
