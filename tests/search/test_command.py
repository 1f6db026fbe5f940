"""The commands ``sweep`` and ``sweep worker`` as users call them, with real (if tiny) trainings."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import optuna
import pytest
from fork_server import fork_commands_of

from lightning_mm.cli import main
from lightning_mm.runs import Results
from lightning_mm.search import launch
from lightning_mm.search.launch import default_workers, worker_environment
from lightning_mm.tasks.magnify import MagnifyTask

ROOT = Path(__file__).parents[2]
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


def sweep(args, said):
    """``lightning-mm sweep`` in a process of its own, which forks its workers; their trainings can be caught midway."""
    for descriptor in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    fork_commands_of(launch)
    original = MagnifyTask.training_step

    def slow_step(*given):
        time.sleep(0.3)
        return original(*given)

    MagnifyTask.training_step = slow_step
    return main(["sweep", *args])


def wait_for(condition, pid, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z", "ended"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.timeout(280)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_killed_workers_are_replaced_and_a_terminated_sweep_goes_on(content, write, tmp_path, fork_server):
    content["settings"]["trainer.max_epochs"] = epochs = 8
    directory, said = tmp_path / "runs", tmp_path / "said.txt"
    args = [str(write(content)), "--dir", str(directory), "--trials", "2"]
    sweep = fork_server.fork("search.test_command", "sweep", [*args, "--workers", "2"], str(said))
    wait_for(lambda: len(list(directory.rglob("last.ckpt"))) >= 2, sweep)
    killed = children(sweep)[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(children(sweep)) == 2 and killed not in children(sweep), sweep)
    workers = children(sweep)
    os.kill(sweep, signal.SIGTERM)
    assert fork_server.wait(sweep) == INTERRUPTED, said.read_text()
    lines = said.read_text().splitlines()
    assert any("was killed (SIGKILL); starting another" in line for line in lines)
    assert lines[-1] == "lightning-mm: interrupted; run the same command again to continue"
    assert not any("Traceback" in line for line in lines)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    state = json.loads((directory / "sweep.json").read_text())
    assert state["counts"]["running"] == 0

    begun = [path.parents[1] for path in directory.rglob("last.ckpt")]
    begun = [path for path in begun if not (path / "results.json").exists()]
    assert begun
    # One more worker, as the launcher starts them for users; both end when all is done, whoever has done it.
    environment = {**os.environ, "OPTUNA_STORAGE": f"sqlite:///{directory / 'study.db'}"}
    with subprocess.Popen(launch.worker_command("tiny", str(directory)), env=environment, cwd=ROOT) as other:
        assert main(["sweep", *args]) == 0
        assert other.wait(120) == 0
    trials = trials_of(directory)
    complete = sorted(t.user_attrs["slot"] for t in trials if t.state.name == "COMPLETE")
    assert complete == ["trial 0000", "trial 0001"]
    assert (directory / "references/proposed/results.json").is_file()
    for path in begun:  # went on in its own directory, from its checkpoint
        assert len(list(path.glob("logs/version_*"))) >= 2
        assert Results.read(path).budget["steps"] == 2 * epochs
