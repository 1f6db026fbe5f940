"""Real offline runs, made one after another in this process, and what their files say."""

import json
import struct
import time
import zlib
from dataclasses import dataclass, field

import pytest

from lightning_mm.errors import TrainingDivergedError
from lightning_mm.training import fit

TINY = [
    *("--model.arch.encoder_channels=2", "--model.arch.decoder_depth=1", "--model.arch.decoder_channels=4"),
    *("--model.optim.lr=3e-3", "--data.size=16", "--data.val_size=20", "--data.batch_size=2"),
    *("--data.epoch_samples=4", "--data.val_pairs=3", "--data.textures=2", "--data.texture_size=128"),
    *("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--run.latency_size=16", "--run.wandb=offline"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
]


@pytest.fixture(scope="package", autouse=True)
def no_account(tmp_path_factory):
    """No key, no settings of this machine's user, and W&B's service stopped at the end."""
    import wandb

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_ERROR_REPORTING", "NETRC"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(home / "wandb"))
        yield
        wandb.teardown()


@pytest.fixture
def tiny():
    """Arguments of a training that takes a moment, offline."""
    return TINY


@pytest.fixture(scope="package")
def study(no_account, tmp_path_factory):
    """Two finished trials of one study, and between them one that diverged."""
    directory = tmp_path_factory.mktemp("runs") / "depths"
    run = ["--run.wandb_group=depths", "--run.wandb_job_type=search", "--run.wandb_tags=[tiny,cpu]"]
    fit([*TINY, *run, f"--run.dir={directory / 'first'}"], role="trial", overrides={"model.arch.decoder_depth": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightning_mm.losses.F.l1_loss", lambda x, y: (x - y).abs().mean() * float("nan"))
        with pytest.raises(TrainingDivergedError):
            fit([*TINY, *run, f"--run.dir={directory / 'diverged'}"])
    depth = "model.arch.decoder_depth"
    more = [f"--{depth}=2", "--run.wandb_job_type=reference"]
    fit([*TINY, *run, *more, f"--run.dir={directory / 'second'}"], role="trial", overrides={depth: 2})
    return directory


@dataclass
class OfflineRun:
    """What the file of an offline run says, in the form that the server would keep it."""

    id: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    exit_code: int | None = None

    def fields(self):
        """Every name that a panel may use: of the summary, the configuration and the history."""
        config = {f"config:{path}" for path in paths(self.config)}
        return config | {f"summary:{key}" for key in self.summary} | {key for row in self.history for key in row}


def paths(tree, prefix=""):
    """Dotted paths of a tree's branches and leaves."""
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")


@pytest.fixture(scope="package")
def offline_runs():
    """Read the offline runs of a run directory, oldest first."""

    def read(run_dir):
        return [read_ended_run(path) for path in sorted(run_dir.glob("wandb/offline-run-*/run-*.wandb"))]

    return read


@pytest.fixture(scope="package")
def records():
    """The complete records of a W&B file's content."""
    return lambda data: list(contents(data))


def read_ended_run(path):
    """W&B's service may write the end of a run a moment after the run has ended."""
    deadline = time.monotonic() + 30
    while (run := read_run(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return run


def read_run(path):
    from wandb.proto import wandb_internal_pb2

    run = OfflineRun()
    for content in contents(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told = record.run
            run.id, run.name, run.group, run.job_type = told.run_id, told.display_name, told.run_group, told.job_type
            run.project, run.tags = told.project, list(told.tags)
        elif kind == "config":
            run.config |= {item.key: {"value": json.loads(item.value_json)} for item in record.config.update}
        elif kind == "summary":
            for item in record.summary.update:
                put(run.summary, list(item.nested_key) or [item.key], json.loads(item.value_json))
        elif kind == "history":
            run.history.append({})
            for item in record.history.item:
                put(run.history[-1], list(item.nested_key) or [item.key], json.loads(item.value_json))
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def put(tree, keys, value):
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value


def contents(data):
    """Contents of a W&B file: LevelDB's log format behind a header of 7 bytes."""
    assert data[:4] in (b":W&B", b"")
    position, whole, block = 7, b"", 1 << 15
    while position + 7 <= len(data):
        if block - position % block < 7:
            position += block - position % block
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        part = data[position + 7 : position + 7 + length]
        if len(part) < length:
            return  # still being written
        assert checksum == zlib.crc32(bytes([kind]) + part)
        position += 7 + length
        whole = part if kind in (1, 2) else whole + part  # 1 whole, 2 first, 3 middle, 4 last
        if kind in (1, 4):
            yield whole
