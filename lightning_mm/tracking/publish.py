"""The command ``lightning-mm publish``: offline runs, a table of the trade-off and a workspace, to Weights & Biases."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError, one_line
from lightning_mm.reporting.collect import Sweep, collect
from lightning_mm.reporting.threshold import PAPER_THRESHOLD, Threshold
from lightning_mm.runs import RESULTS_FILE, fingerprint, require_writable, write_text_atomically
from lightning_mm.tracking.repair import cut_torn_end
from lightning_mm.tracking.run import project as default_project
from lightning_mm.tracking.run import require_key, run_id
from lightning_mm.tracking.table import COLUMNS, as_csv, cells, trade_off
from lightning_mm.tracking.workspace import REPORT_JOB, architecture_keys, save, serialise, study_workspace

FOLDER = "publish"
STATE_FILE = "published.json"
_PARALLEL = 8


def publish(
    directory: Path,
    project: str | None = None,
    entity: str | None = None,
    dry_run: bool = False,
    unfinished: bool = False,
    threshold: Path | None = None,
) -> None:
    """Upload the runs below a directory that were kept offline to Weights & Biases, with a table and a workspace.

    Running it again uploads what is new: a run that was uploaded is left alone, the table and the workspace are
    replaced where they changed. The table and the workspace are written to publish/ in the directory, too.

    Args:
        directory: Directory of a sweep, or any directory with runs below it (for example runs/smoke).
        project: Project there; the environment variable WANDB_PROJECT, or lightning_mm, when left out.
        entity: User or team that the project belongs to; the key's own when left out.
        dry_run: Say what would be uploaded and write the files, without network or key.
        unfinished: Upload the runs of trainings without results, too, such as those that diverged. One that is still
            going on would be uploaded as far as it is, and its rest never.
        threshold: File of 'lightning-mm threshold' with the SSIM of visual acceptability for the table; the paper's
            0.966 when left out.

    Raises:
        InputError: The directory holds no finished run or can't be written to, wandb-workspaces is not installed, there
            is no key, the threshold holds for other validation pairs, or W&B did not take something.
    """
    sweep = collect(directory, PAPER_THRESHOLD if threshold is None else Threshold.read(threshold))
    project = project or default_project()
    folder = directory / FOLDER
    require_writable(folder, "directory", folder=True)
    rows = trade_off(sweep)
    groups = sorted({group for run in sweep.runs if (group := run.results.config.get("run", {}).get("wandb_group"))})
    keys = architecture_keys([run.results for run in sweep.runs])
    workspace = study_workspace(sweep.name, groups, keys, project, entity or "")
    files, left = offline_runs(directory, unfinished)
    if not dry_run:
        require_key("publish")
    write_text_atomically(folder / "table.json", json.dumps(rows, indent=2) + "\n")
    write_text_atomically(folder / "table.csv", as_csv(rows))
    write_text_atomically(folder / "workspace.json", json.dumps(serialise(workspace), indent=2) + "\n")
    print(f"{folder}: table.json, table.csv, workspace.json")
    if left:
        print(f"left alone: {_counted(left, 'offline run')} of unfinished trainings (--unfinished true takes them)")
    where = f"{entity}/{project}" if entity else project
    if dry_run:
        print(f"would upload to {where}: {_counted(len(files), 'offline run')}, a table of {len(rows)}, a workspace")
        for file in files:
            print(f"  {file.parent.relative_to(directory)}")
        return
    sync(files, project, entity, folder)
    group = groups[0] if len(groups) == 1 else sweep.name
    state_file = folder / STATE_FILE
    try:
        state = _report(sweep, rows, folder, project, entity, group)
        write_text_atomically(state_file, json.dumps(state, indent=2) + "\n")
        workspace.entity = state["entity"]
        url = save(workspace, state.get("workspace"))
    except InputError:
        raise
    except Exception as error:  # W&B's client and workspaces raise many kinds
        raise InputError(f"publish to {where}: {one_line(error)}") from None
    write_text_atomically(state_file, json.dumps({**state, "workspace": url}, indent=2) + "\n")
    print(f"uploaded {_counted(len(files), 'run')}; workspace: {url}")


def offline_runs(directory: Path, unfinished: bool = False) -> tuple[list[Path], int]:
    """Files of the offline runs below a directory that have not been uploaded.

    Args:
        directory: Where to look.
        unfinished: Take those of run directories without results, too.

    Returns:
        The files, and how many were left out because their training has no results.
    """
    found = [file for file in sorted(directory.rglob("offline-run-*/*.wandb")) if not _marker(file).exists()]
    finished = [file for file in found if unfinished or (file.parents[2] / RESULTS_FILE).exists()]
    return finished, len(found) - len(finished)


def sync(files: list[Path], project: str, entity: str | None, folder: Path) -> None:
    """Upload offline runs, several at a time; W&B's own command marks what it has uploaded.

    Args:
        files: Files of the runs.
        project: Project to upload them to.
        entity: User or team that the project belongs to; the key's own when left out.
        folder: Where the command may write its log.

    Raises:
        InputError: Not all of them arrived.
    """
    if not files:
        return
    for file in files:
        if (file.parents[2] / RESULTS_FILE).exists():  # or something may still be writing it
            cut_torn_end(file)
    command = [sys.executable, "-m", "wandb", "sync", "--project", project, "-n", str(_PARALLEL)]
    command += ["--entity", entity] if entity else []
    subprocess.run([*command, *map(str, files)], check=False, env={**os.environ, "WANDB_DIR": str(folder)})
    missing = [file for file in files if not _marker(file).exists()]
    if missing:
        count = f"{len(missing)} of {_counted(len(files), 'offline run')}"
        raise InputError(f"{count} could not be uploaded, such as {missing[0]}; run the same command again")


def _report(
    sweep: Sweep, rows: list[dict[str, Any]], folder: Path, project: str, entity: str | None, group: str
) -> dict[str, Any]:
    """Log the table in a run of its own, the same one each time, unless it holds this table already."""
    import wandb

    path = folder / STATE_FILE
    before = json.loads(path.read_text()) if path.exists() else {}
    asked = {"project": project, "asked_entity": entity, "group": group}
    if any(before.get(key) != value for key, value in asked.items()):
        before = {}
    digest = fingerprint(rows)
    if before.get("table") == digest:
        return before
    run = wandb.init(
        project=project,
        entity=entity,
        group=group,
        job_type=REPORT_JOB,
        name=f"{sweep.name}: trade-off",
        dir=folder,
        id=run_id(folder),
        resume="allow",
        reinit="create_new",
        mode="online",
        settings=wandb.Settings(console="off", quiet=True),
    )
    try:
        run.log({"trade-off": wandb.Table(columns=list(COLUMNS), data=[cells(row) for row in rows])})
    finally:
        run.finish()
    return {**before, **asked, "entity": run.entity, "table": digest}


def _marker(file: Path) -> Path:
    return file.with_suffix(".wandb.synced")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
