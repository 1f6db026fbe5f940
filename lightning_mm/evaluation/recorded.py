"""Summaries in the ``results.json`` of the runs whose checkpoints were judged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.evaluation.protocol import Record
from lightning_mm.runs import RESULTS_FILE, Results, require_writable
from lightning_mm.weights.loading import is_checkpoint

CHECKPOINTS = "checkpoints"


def judged_runs(weights: list[str]) -> dict[str, Path]:
    """The finished run of each source that is a checkpoint in a run's directory, RUN/checkpoints/NAME.ckpt.

    Args:
        weights: Sources.

    Raises:
        InputError: A run's results cannot be read or replaced.
    """
    runs = {}
    for source in weights:
        folder = Path(source).parent
        if is_checkpoint(source) and folder.name == CHECKPOINTS and (folder.parent / RESULTS_FILE).is_file():
            Results.read(folder.parent)
            require_writable(folder.parent / RESULTS_FILE, "--weights")
            runs[source] = folder.parent
    return runs


def record_in_runs(runs: dict[str, Path], records: dict[str, Record]) -> list[Path]:
    """Put each protocol's summary into the results of the judged runs; other protocols' stay as they are.

    Args:
        runs: As of ``judged_runs``.
        records: By protocol.

    Returns:
        The files. Of two checkpoints of one run the later one's numbers stay.

    Raises:
        InputError: A file cannot be written.
    """
    written = []
    for source, run in runs.items():
        results = Results.read(run)
        new: dict[str, Any] = {
            name: {
                "checkpoint": Path(source).name,
                "summary": record.summary[source],
                "settings": record.settings,
            }
            for name, record in records.items()
            if source in record.summary
        }
        try:
            path = replace(results, protocols={**results.protocols, **new}).write(run)
        except OSError as error:
            raise InputError(f"{run / RESULTS_FILE}: cannot be written ({error.strerror})") from None
        written += [path] if path not in written else []
    return written
