"""The commands ``sweep`` and ``sweep worker`` as users call them, with real (if tiny) trainings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from lightning_mm.cli import main
from lightning_mm.runs import Results
from lightning_mm.search import launch
from lightning_mm.search.launch import default_workers, worker_environment

INTERRUPTED = 75


def trials_of(directory, name="tiny"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{directory / 'study.db'}").trials


def test_end_to_end(content, write, tmp_path, capsys):
    directory = tmp_path / "runs"
    assert main(["sweep", str(write(content)), "--dir", str(directory)]) == 0
    results = [Results.read(path.parent) for path in sorted(directory.rglob("results.json"))]
    assert [r.role for r in results].count("reference") == 1
    trials = trials_of(directory)
    assert len(trials) == 3
    for trial in trials:
        found = Results.read(directory / trial.user_attrs["run"])
        assert found.overrides == trial.params
        assert found.arch["decoder_depth"] == trial.params["model.arch.decoder_depth"]
        assert trial.values == [found.metrics["ssim"], found.cost["paper_flops"] / 1e9]
        assert found.latency["height"] == 16
    assert len({json.dumps([r.budget["steps"], r.validation, r.budget["crop"]]) for r in results}) == 1
    assert "0.966" in (directory / "report.html").read_text(encoding="utf-8")
    assert "proposed" in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in directory.rglob("last.ckpt")}
    assert main(["sweep", str(write(content)), "--dir", str(directory)]) == 0
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("last.ckpt")} == before
    assert len(trials_of(directory)) == 3


def test_settings_of_the_command_line_prevail(content, write, tmp_path):
    directory = tmp_path / "runs"
    content |= {"variants": {"plain": {}}, "references": {}}
    del content["space"]
    settings = json.dumps({"data.val_pairs": 3})
    assert main(["sweep", str(write(content)), "--dir", str(directory), "--settings", settings]) == 0
    found = Results.read(directory / "variants/plain")
    assert (found.role, found.validation["pairs"]) == ("variant", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "workers = 0: must be >= 1"),
        (["--storage", "nosuch"], "storage 'nosuch': must be a URL"),
        (["--dir", "/proc/nowhere"], "dir /proc/nowhere"),
        (["--settings", "{model.arch.decoder_dept: 3}"], "decoder_dept"),
        (["--settings", "{foo: 1}"], "on the command line: foo: no hyperparameter"),
        (["--settings", "{data.photos: phtos/}"], "data.photos = phtos: no such folder"),
        (["--settings", "{data.epoch_samples: 2, data.batch_size: 2, data.echo: 2}"], "data.epoch_samples = 2"),
        (["--trials", "0"], "on the command line: trials = 0: must be >= 1"),
        (["--storage", "postgresql://host:abc/db"], "must be a URL"),
        (["--storage", "sqlite://"], "must name a file"),
        (["--wandb", "sometimes"], "wandb"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(content, write, tmp_path, arguments, message, capsys):
    assert main(["sweep", str(write(content)), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_latency_is_not_measured_by_workers_that_share_a_processor(content, write, monkeypatch, capsys):
    content["objectives"] = ["ssim", "latency"]
    for devices, workers, most in (("", 2, 1), ("-1", 2, 1), ("0,1", 3, 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
        assert main(["sweep", str(write(content)), "--workers", str(workers)]) == 2
        said = capsys.readouterr().err
        assert f"workers = {workers}: they would disturb each other's latency; at most {most} here" in said


def test_a_worker_needs_a_storage_with_a_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "worker"]) == 2
    assert "OPTUNA_STORAGE" in capsys.readouterr().err
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path / 'empty.db'}")
    assert main(["sweep", "worker"]) == 2
    assert "empty.db: holds no sweep; begin one with" in capsys.readouterr().err


def test_one_worker_per_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc,6")
    assert default_workers() == 3
    assert [worker_environment(n, 4)["CUDA_VISIBLE_DEVICES"] for n in range(4)] == ["4", "GPU-abc", "6", "4"]
    assert "OMP_NUM_THREADS" not in worker_environment(0, 4).keys() - os.environ.keys()


def test_workers_share_the_threads_of_a_processor(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launch.os, "sched_getaffinity", lambda pid: set(range(8)))
    assert default_workers() == 1
    assert [worker_environment(0, n).get("OMP_NUM_THREADS") for n in (1, 3, 20)] == [None, "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert worker_environment(0, 3)["OMP_NUM_THREADS"] == "5"


@pytest.fixture
def launched(content, write, tmp_path):
    """``lightning-mm sweep --workers 2`` as a process; trainings are long enough to be caught in the middle."""
    content["settings"]["trainer.max_epochs"] = 60
    processes = []

    def launch(trials):
        command = [sys.executable, "-m", "lightning_mm", "sweep", str(write(content)), "--dir", str(tmp_path / "runs")]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        command += ["--workers", "2", "--trials", str(trials)]
        processes.append(
            subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        )
        return processes[-1]

    yield launch
    for process in processes:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(process):
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if "worker" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]


@pytest.mark.timeout(280)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_killed_workers_are_replaced_and_a_terminated_sweep_goes_on(launched, tmp_path):
    directory = tmp_path / "runs"
    process = launched(2)
    wait_for(lambda: len(list(directory.rglob("last.ckpt"))) >= 2, process)
    killed = children(process)[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(children(process)) == 2 and killed not in children(process), process)
    workers = children(process)
    process.terminate()
    _, said = process.communicate(timeout=100)
    assert process.returncode == INTERRUPTED, said
    assert "was killed (SIGKILL); starting another" in said
    assert said.splitlines()[-1] == "lightning-mm: interrupted; run the same command again to continue"
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    state = json.loads((directory / "sweep.json").read_text())
    assert state["counts"]["running"] == 0

    begun = [path.parents[1] for path in directory.rglob("last.ckpt")]
    begun = [path for path in begun if not (path / "results.json").exists()]
    assert begun
    assert main(["sweep", str(tmp_path / "sweep.yaml"), "--dir", str(directory), "--trials", "2"]) == 0
    trials = trials_of(directory)
    complete = sorted(t.user_attrs["slot"] for t in trials if t.state.name == "COMPLETE")
    assert complete == ["trial 0000", "trial 0001"]
    assert (directory / "references/proposed/results.json").is_file()
    for path in begun:  # went on in its own directory, from its checkpoint
        assert len(list(path.glob("logs/version_*"))) >= 2
        assert Results.read(path).budget["steps"] == 120
