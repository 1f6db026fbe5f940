"""The results file: written whole or not at all, read strictly."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lightning_mm import runs
from lightning_mm.errors import InputError
from lightning_mm.runs import (
    Results,
    fingerprint,
    git_commit,
    package_versions,
    require_writable,
    write_text_atomically,
)


@pytest.fixture
def results():
    return Results(
        name="tiny",
        role="run",
        overrides={"model.arch.decoder_depth": 4},
        arch={"encoder": "linear", "encoder_blocks": [3, 2, 2]},
        cost={"params": 1234, "paper_flops": 5.5e9},
        metrics={"ssim": 0.9, "psnr": 30.5, "lpips": None},
        absent={"lpips": "not asked for"},
        floors={"frame_b": {"ssim": 0.7}},
        definitions={"ssim": "in words"},
        validation={"pairs": 3},
        budget={"steps": 9},
        hardware={"device": "cpu"},
        config={"run": {"dir": "naïve/größe"}},
    )


def test_round_trip(results, tmp_path):
    path = results.write(tmp_path / "new/run")
    assert path == tmp_path / "new/run/results.json"
    assert Results.read(tmp_path / "new/run") == results
    assert os.listdir(path.parent) == ["results.json"]
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == 1


def test_a_file_without_protocols_is_one_of_before_there_were_such(results, tmp_path):
    data = asdict(replace(results, protocols={"noise": {"summary": {"mean_ssim": 0.5}}}))
    (tmp_path / "results.json").write_text(json.dumps(data))
    assert Results.read(tmp_path).protocols == {"noise": {"summary": {"mean_ssim": 0.5}}}
    (tmp_path / "results.json").write_text(json.dumps({k: v for k, v in data.items() if k != "protocols"}))
    assert Results.read(tmp_path) == replace(results, protocols={})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(value, results, tmp_path):
    results.write(tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        replace(results, metrics={"ssim": value}).write(tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["results.json"]


def message_of(run_dir):
    with pytest.raises(InputError) as caught:
        Results.read(run_dir)
    message = str(caught.value)
    assert message.startswith(f"{run_dir / 'results.json'}: ")
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in message_of(tmp_path)


@pytest.mark.parametrize("text", ["", "not JSON", '{"schema": 1', "\x00", "{'schema': 1}"])
def test_a_file_of_something_else_is_named(text, tmp_path):
    (tmp_path / "results.json").write_text(text)
    assert "not valid JSON" in message_of(tmp_path)


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00{")
    assert "not valid JSON" in message_of(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"schema": 2},
        lambda d: d | {"schema": "1"},
        lambda d: {k: v for k, v in d.items() if k != "schema"},
        lambda d: {k: v for k, v in d.items() if k != "floors"},
        lambda d: d | {"more": 1},
        lambda d: [d],
        lambda d: None,
    ],
    ids=["newer", "text", "no schema", "lacks a key", "unknown key", "list", "null"],
)
def test_another_schema_is_refused(change, results, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(change(asdict(results))))
    assert "schema 1" in message_of(tmp_path)


@pytest.mark.parametrize(
    ("path", "folder", "message"),
    [
        ("here", False, "--out here: is a directory, must be a file to write"),
        ("file", True, "--out file: is a file, must be a directory"),
        ("file/below", False, "must be a directory that can be written to"),
        ("file/below/deep", True, "must be a directory that can be written to"),
    ],
)
def test_what_cannot_be_written_is_found_before(path, folder, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    Path("file").touch()
    with pytest.raises(InputError, match=message):
        require_writable(Path(path), "--out", folder)


def test_what_can_be_written_is_accepted_and_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for path, folder in (("new", False), ("new", True), ("new/deep", False), ("file", False), (".", True)):
        require_writable(Path(path), "--out", folder)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_text_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_text_atomically(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_text_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "a/b.txt"
    write_text_atomically(path, "old")
    os_replace = os.replace

    def look(source, target):
        assert path.read_text() == "old"
        assert Path(source).read_text() == "new\n"
        os_replace(source, target)

    monkeypatch.setattr(runs.os, "replace", look)
    write_text_atomically(path, "new\n")
    assert path.read_text() == "new\n"
    assert os.listdir(path.parent) == ["b.txt"]


def test_a_write_that_fails_leaves_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "b.txt"
    write_text_atomically(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"


def test_a_fingerprint_is_stable_and_tells_values_apart():
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": [2, 3], "a": 1})
    assert len({fingerprint(value) for value in ({"a": 1}, {"a": 2}, {"a": [1]}, {"a": None}, {})}) == 5
    code = "from lightning_mm.runs import fingerprint; print(fingerprint({'a': 1, 'b': 'ü'}))"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert again.stdout.strip() == fingerprint({"a": 1, "b": "ü"})


def test_versions_and_commit_are_known_or_said_to_be_unknown(monkeypatch):
    versions = package_versions()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions.keys() >= {"torch", "lightning", "numpy", "torchmetrics"}
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("+changes")) == 40

    def no_git(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(runs.subprocess, "run", no_git)
    assert git_commit() is None
