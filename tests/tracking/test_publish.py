"""The command ``publish``: what it finds, writes and refuses, without network."""

import csv
import json
import shutil
import socket
import subprocess

import pytest

from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.reporting.collect import collect
from lightning_mm.runs import Results, write_text_atomically
from lightning_mm.tracking import publish as module
from lightning_mm.tracking.publish import offline_runs as unpublished
from lightning_mm.tracking.publish import sync
from lightning_mm.tracking.table import COLUMNS, trade_off


@pytest.fixture
def directory(study, tmp_path, monkeypatch):
    """A copy of the study, on a machine without network."""
    shutil.copytree(study, tmp_path / "depths", symlinks=True)

    def connect(self, address):
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tmp_path / "depths"


def published(directory):
    return {path.name: path.read_text() for path in (directory / "publish").iterdir()}


def test_a_dry_run_writes_the_table_and_the_workspace_and_says_what_it_would_do(directory, capfd):
    before = sorted(directory.rglob("*"))
    assert main(["publish", str(directory), "--dry_run", "true", "--entity", "lab"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[1] == "left alone: 1 offline run of unfinished trainings (--unfinished true takes them)"
    assert lines[2] == "would upload to lab/lightning_mm: 2 offline runs, a table of 2, a workspace"
    ids = [line.rsplit("-", 1)[1] for line in lines[3:]]
    assert ids == [(directory / name / "wandb_run_id").read_text().strip() for name in ("first", "second")]
    files = published(directory)
    assert files.keys() == {"table.json", "table.csv", "workspace.json"}
    assert set(directory.rglob("*")) - set(before) == {directory / "publish", *(directory / "publish").iterdir()}
    assert json.loads(files["workspace.json"])["spec"]["section"]["panelBankConfig"]["sections"]


def test_the_table_has_a_row_per_finished_run(directory):
    assert main(["publish", str(directory), "--dry_run=true"]) == 0
    files = published(directory)
    rows = {row["path"]: row for row in json.loads(files["table.json"])}
    assert rows.keys() == {"first", "second"}
    for name, row in rows.items():
        results = Results.read(directory / name)
        assert (row["role"], row["overrides"]) == ("trial", results.overrides)
        assert row["params"] == results.cost["params"]
        assert row["paper_gflops"] == results.cost["paper_flops"] / 1e9
        assert row["latency_ms"] == results.latency["ms"]
        assert (row["ssim"], row["psnr"], row["lpips"]) == (results.metrics["ssim"], results.metrics["psnr"], None)
        assert (row["seed"], row["steps"], row["commit"]) == (0, 4, results.commit)
        assert row["device"] == results.hardware["processor"]
    assert len({row["name"] for row in rows.values()}) == 2
    told = {row["path"]: row for row in csv.DictReader(files["table.csv"].splitlines())}
    for name, row in told.items():
        assert json.loads(row.pop("overrides")) == rows[name]["overrides"]
        assert row.pop("lpips") == ""
        assert row == {key: str(value) for key, value in rows[name].items() if key not in ("overrides", "lpips")}


def test_without_a_key_it_is_one_line_and_nothing_is_written(directory, capfd):
    before = sorted(directory.rglob("*"))
    assert main(["publish", str(directory)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("lightning-mm: error: publish: needs a key for https://")
    assert len(err.splitlines()) == 1
    assert sorted(directory.rglob("*")) == before


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_directory_without_runs_is_refused(name, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert main(["publish", str(tmp_path / name), "--dry_run=true"]) == 2
    assert str(tmp_path / name) in capfd.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []


def test_runs_that_were_uploaded_or_are_not_finished_are_left_alone(directory):
    first, second = unpublished(directory)[0]
    assert (first.parents[2].name, second.parents[2].name) == ("first", "second")
    assert unpublished(directory)[1] == 1
    names = [file.parents[2].name for file in unpublished(directory, unfinished=True)[0]]
    assert names == ["diverged", "first", "second"]
    first.with_suffix(".wandb.synced").touch()
    assert unpublished(directory) == ([second], 1)


def test_all_are_uploaded_at_once_and_what_did_not_arrive_is_named(directory, monkeypatch):
    files, _ = unpublished(directory)
    called = []

    def arrive(command, check, env):
        called.append(command)
        assert env["WANDB_DIR"] == str(directory)
        for file in command[-len(files) :][:arriving]:
            module._marker(type(files[0])(file)).touch()

    monkeypatch.setattr(subprocess, "run", arrive)
    arriving = 1
    with pytest.raises(InputError, match=rf"1 of 2 offline runs could not be uploaded, such as {files[1]}"):
        sync(files, "project", "lab", directory)
    arriving = 2
    sync(files, "project", None, directory)
    assert called[0][1:4] == ["-m", "wandb", "sync"]
    assert called[0][called[0].index("--entity") + 1] == "lab"
    assert "--entity" not in called[1]
    assert all(command[-2:] == [str(file) for file in files] for command in called)
    sync([], "project", None, directory)
    assert len(called) == 2


def test_a_table_that_did_not_change_begins_no_run(directory, monkeypatch):
    import wandb

    begun = []
    monkeypatch.setattr(wandb, "init", lambda **arguments: begun.append(arguments) or FakeRun())
    sweep = collect(directory)
    rows = trade_off(sweep)

    def report(rows, group="depths"):
        state = module._report(sweep, rows, directory / "publish", "project", None, group)
        write_text_atomically(directory / "publish/published.json", json.dumps(state | {"workspace": "url"}))
        return state

    first = report(rows)
    assert (first["entity"], "workspace" in first) == ("lab", False)
    assert report(rows) == first | {"workspace": "url"}
    assert len(begun) == 1
    assert report(rows[:1])["workspace"] == "url"  # the same workspace, whatever the table
    assert "workspace" not in report(rows[:1], "another group")
    assert len(begun) == 3
    assert len({arguments["id"] for arguments in begun}) == 1


class FakeRun:
    entity = "lab"

    def log(self, values):
        (table,) = values.values()
        assert table.columns == list(COLUMNS)

    def finish(self):
        pass
