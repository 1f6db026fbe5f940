"""A sweep that takes seconds (frames of 16 px, two steps a run), and the storages that studies can lie in."""

import os
import shutil
import signal
from copy import deepcopy
from pathlib import Path

import postgres_server
import pytest
import tiny_settings
import yaml

from lightning_mm.search.reading import read_spec
from lightning_mm.search.storage import open_storage
from lightning_mm.search.study import begin

TINY = {**tiny_settings.TINY, "data.epoch_samples": 4, "data.val_pairs": 2, "model.arch.decoder_channels": 4}
DEPTH = {"class_path": "IntDistribution", "init_args": {"low": 1, "high": 3}}
ENCODER = {"class_path": "CategoricalDistribution", "init_args": {"choices": ["linear", "residual"]}}


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    """No W&B unless a test asks for it, and no storage from the environment."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)


@pytest.fixture
def content(tmp_path, monkeypatch):
    """A valid sweep file's content, with the experiment files that it names in the current directory."""
    monkeypatch.chdir(tmp_path)
    base = {"seed_everything": 0, "model": {"arch": {"encoder_channels": 4}}, "run": {"latency_size": 16}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "deep.yaml").write_text(yaml.safe_dump({"model": {"arch": {"decoder_depth": 4}}}))
    return {
        "name": "tiny",
        "configs": ["base.yaml"],
        "references": {"proposed": "deep.yaml"},
        "settings": dict(TINY),
        "space": deepcopy({"model.arch.decoder_depth": DEPTH, "model.arch.encoder": ENCODER}),
        "trials": 3,
    }


@pytest.fixture
def write(tmp_path):
    """Write a sweep file and return its path."""

    def write(content):
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of one's own, or the reason why there is none."""
    reason = postgres_server.why_not()
    if reason is not None:
        pytest.skip(reason)
    server = postgres_server.PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    return request.getfixturevalue("postgres").database()


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """An SQLite file with the tables of a study and nothing in them, which take longest of a sweep to make."""
    path = tmp_path_factory.mktemp("tables") / "study.db"
    open_storage(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def open_sweep(content, write, tmp_path, tables):
    """Begin a sweep, with changes to its content, in a database (an SQLite file of the test when left out)."""

    storages = []

    def open_sweep(url=None, **changes):
        spec = read_spec(write({**content, **changes}))
        path = tmp_path / "study.db"
        if not path.exists():
            shutil.copyfile(tables, path)
        storages.append(open_storage(url or f"sqlite:///{path}"))
        (tmp_path / "runs").mkdir(exist_ok=True)
        return begin(spec, tmp_path / "runs", storages[-1])

    yield open_sweep
    for storage in storages:
        storage.close()


class Workers:
    """Workers of tests/search/dummy_worker.py."""

    def __init__(self, server, url, directory, seconds, number):
        self.server, self.directory = server, directory
        self.pids = [server.fork("search.dummy_worker", "work", url, str(directory), seconds) for _ in range(number)]
        self.ended = False

    @property
    def said(self):
        """What they have said."""
        path = self.directory / "said.txt"
        return path.read_text() if path.exists() else ""

    def running(self):
        """Whether any of them is."""
        return any(Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" for pid in self.pids if alive(pid))

    def wait(self):
        """Exit codes of all of them, when they have ended."""
        self.ended = True
        return [self.server.wait(pid) for pid in self.pids]

    def close(self):
        if not self.ended:
            for pid in filter(alive, self.pids):
                os.kill(pid, signal.SIGKILL)
            self.wait()


def alive(pid):
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def start_workers(fork_server):
    """Start workers whose training is a pause; all are ended at last."""
    started = []

    def start(url, directory, seconds, number):
        started.append(Workers(fork_server, url, directory, seconds, number))
        return started[-1]

    yield start
    for workers in started:
        workers.close()
