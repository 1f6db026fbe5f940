"""Two processes that train together: the same result as one, whatever happens to them on the way.

Processes are forked from one that has imported everything already: both ranks, as ``torchrun`` and SLURM start them, or
the main process, which starts the other rank itself.
"""

import csv
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from fork_server import fork_commands_of
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.strategies.launchers import subprocess_script
from PIL import Image
from reserved_port import reserved_port

import lightning_mm.cli
from lightning_mm import distributed, training
from lightning_mm.configuration import build
from lightning_mm.distributed import processes
from lightning_mm.losses import MagnificationLoss
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.training import evaluate

ROOT = Path(__file__).parents[1]
STEPS, EPOCHS = 16, 2  # steps per epoch: a block of 8 batches of scenes, each shown twice
COMMON = [
    *("--model.arch.encoder_channels=2", "--model.arch.decoder_depth=1", "--model.arch.decoder_channels=4"),
    *("--model.optim.lr=3e-3", "--model.optim.warmup_steps=2", "--model.optim.schedule=cosine"),
    *("--data.size=16", f"--data.epoch_samples={STEPS * 4}", "--data.echo=2", "--data.textures=4"),
    *("--data.texture_size=128", f"--trainer.max_epochs={EPOCHS}", "--trainer.log_every_n_steps=1"),
    *("--trainer.gradient_clip_val=0.05", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *("--run.ema_decay=0.9", "--run.latency_size=0"),
]
ALONE = [*COMMON, "--data.batch_size=4"]
TOGETHER = [*COMMON, "--data.batch_size=2", "--trainer.devices=2", "--trainer.strategy=ddp"]
INTERRUPTED = 75
LOST = "another process of this training has ended or hangs"


def start(args, rank, ranks, port, out, err, disturbance):
    """Be one rank of ``lightning-mm fit``; "ranks" are 0 for the main process of Lightning's launcher."""
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)
    if ranks > 1:
        os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sys.argv = [str(Path(sys.executable).with_name("lightning-mm")), "fit", *args]
    if disturbance.get("what") in ("SIGKILL", "kill other"):  # the other ways to end are of the process of users
        fork_commands_of(subprocess_script)
    if rank > 0:
        sys.addaudithook(tell_of_writing)
    disturb(rank, **disturbance)
    return lightning_mm.cli.main(["fit", *args])


def tell_of_writing(event, args):
    """Say on standard error which files of a run are opened for writing, other than the note that tests ask for."""
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR) and not isinstance(args[0], int):
        path = os.fsdecode(args[0])
        if "/run/" in path and not Path(path).name.startswith("rank"):
            print(f"written by another rank than the first: {path}", file=sys.stderr)


def disturb(rank, what=None, of=0, step=0):
    """At a step of one rank, do something; and note what each rank ends with."""

    def on_train_end(task):
        weights = b"".join(value.numpy().tobytes() for value in task.magnifier.state_dict().values())
        note = Path(task.trainer.default_root_dir) / f"rank{task.trainer.global_rank}"
        note.write_text(hashlib.sha256(weights).hexdigest())

    MagnifyTask.on_train_end = on_train_end
    if what == "hang":
        distributed.COLLECTIVE_TIMEOUT = timedelta(seconds=3)
    if what == "SIGTERM":
        # Later than Lightning's observer looks, every second here, whether a process that it started has ended.
        _ChildProcessObserver.__init__.__defaults__ = (1,)
        close = training.close_loggers
        training.close_loggers = lambda loggers: (time.sleep(3), close(loggers))
    if rank != of:
        return
    original, disturbed = MagnifyTask.training_step, os.getpid()

    def training_step(task, batch, batch_idx):
        if task.global_step == step and os.getpid() == disturbed:
            if what == "hang":
                time.sleep(600)
            elif what == "diverge":
                MagnificationLoss.forward = lambda *args, f=MagnificationLoss.forward: (
                    f(*args)[0] * torch.nan,
                    f(*args)[1],
                )
            elif what == "kill other":
                task.trainer.strategy.launcher.procs[0].kill()
            elif what is not None:
                os.kill(os.getpid(), getattr(signal, what))
        return original(task, batch, batch_idx)

    MagnifyTask.training_step = training_step


@pytest.fixture(scope="module")
def run(fork_server):
    """Start ``fit`` in a directory; returns the exit codes of the ranks and the lines on standard error."""

    def call(args, run_dir, ranks=2, more=(), **disturbance):
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        out, err = run_dir.with_suffix(".out"), run_dir.with_suffix(".err")
        err.unlink(missing_ok=True)
        given = [*args, f"--run.dir={run_dir}", *more]
        with reserved_port() as port:
            job = (ranks, port, str(out), str(err), disturbance)
            children = [fork_server.fork("test_ddp", "start", given, rank, *job) for rank in range(ranks or 1)]
            if disturbance.get("what") == "hang":
                wait_until(lambda: LOST in err.read_text() if err.exists() else False)
                os.kill(children[disturbance["of"]], signal.SIGKILL)
            codes = [fork_server.wait(child) for child in children]
        wait_until(lambda: not any(group_lives(child) for child in children))
        return codes, err.read_text().splitlines()

    return call


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def group_lives(leader):
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def alone(run, tmp_path_factory):
    """One process with batches of 4; five validation pairs."""
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    assert run(ALONE, run_dir, 1, ["--data.val_pairs=5"]) == ([0], [])
    return run_dir


@pytest.fixture(scope="module")
def together(run, tmp_path_factory):
    """Two processes with batches of 2; ranks have three and two of five validation pairs, so two batches and one."""
    run_dir = tmp_path_factory.mktemp("together") / "run"
    assert run(TOGETHER, run_dir, 2, ["--data.val_pairs=5"]) == ([0, 0], [])
    return run_dir


def results(run_dir):
    return json.loads((run_dir / "results.json").read_text())


def measured(found):
    """SSIM and PSNR of the model and of the floors."""
    tables = {"model": found["metrics"], **found["floors"]}
    return {f"{who} {name}": table[name] for who, table in tables.items() for name in ("ssim", "psnr")}


def states(run_dir):
    """Weights in training and averaged, of the last checkpoint."""
    checkpoint = torch.load(run_dir / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == EPOCHS * STEPS
    return {f"{key}/{name}": v for key in ("current_model_state", "state_dict") for name, v in checkpoint[key].items()}


def logged(run_dir):
    """(step, name) to value, of all starts, the latest counting."""
    found = {}
    for path in sorted(run_dir.glob("logs/version_*/metrics.csv")):
        for row in csv.DictReader(path.read_text().splitlines()):
            found |= {(row["step"], k): float(v) for k, v in row.items() if v and k != "train/samples_per_second"}
    return found


def assert_same(run_dir, expected):
    """Bit for bit."""
    assert states(run_dir).keys() == states(expected).keys()
    assert [k for k, v in states(run_dir).items() if not torch.equal(v, states(expected)[k])] == []
    assert results(run_dir)["metrics"] == results(expected)["metrics"]
    assert logged(run_dir) == logged(expected)
    assert (run_dir / "samples.png").read_bytes() == (expected / "samples.png").read_bytes()


def test_two_processes_do_what_one_does_with_the_whole_batch(alone, together):
    found, expected = states(together), states(alone)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    moved = expected["current_model_state/magnifier.decoder.body.0.conv1.weight"]
    assert (moved - expected["state_dict/magnifier.decoder.body.0.conv1.weight"]).abs().max() > 1e-4
    assert logged(together).keys() == logged(alone).keys()
    for key, value in logged(alone).items():
        assert logged(together)[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key


def test_metrics_of_shared_pairs_are_those_of_one_process(alone, together):
    found, expected = results(together), results(alone)
    assert measured(found) == pytest.approx(measured(expected), rel=1e-5)
    same = ("arch", "cost", "absent", "definitions", "validation")
    assert {key: found[key] for key in same} == {key: expected[key] for key in same}
    pictures = [np.asarray(Image.open(run_dir / "samples.png")).astype(int) for run_dir in (together, alone)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_the_results_are_of_all_processes(alone, together):
    found, expected = results(together), results(alone)
    for key in ("steps", "samples", "batch_size", "crop"):
        assert found["budget"][key] == expected["budget"][key]
    assert (found["hardware"]["devices"], expected["hardware"]["devices"]) == (2, 1)
    for budget in (found["budget"], expected["budget"]):
        # Validation is no part of it, so the rate is above that of the whole time.
        assert budget["samples_per_second"] > budget["samples"] / budget["train_seconds"]
    for run_dir in (alone, together):
        rows = list(csv.DictReader((run_dir / "logs/version_0/metrics.csv").read_text().splitlines()))
        assert len([row for row in rows if row["train/samples_per_second"]]) == EPOCHS * STEPS


def test_both_ranks_end_with_the_same_weights(alone, together):
    assert (together / "rank0").read_text() == (together / "rank1").read_text()
    assert (together / "rank0").read_text() != (alone / "rank0").read_text(), "a digest of the weights"


def test_only_the_first_rank_writes(alone, together):
    """Nothing else, and (``tell_of_writing``) no file twice."""

    def files(run_dir):
        return sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.name != "rank1")

    assert files(together) == files(alone)
    assert len(together.with_suffix(".out").read_text().splitlines()) == 2


def test_a_finished_run_returns_at_once_on_all_ranks(run, together):
    before = {path: path.stat().st_mtime_ns for path in together.rglob("*") if path.is_file()}
    del before[together / "config.yaml"]
    assert run(TOGETHER, together, 2, ["--data.val_pairs=5"]) == ([0, 0], [])
    assert run(TOGETHER, together, 0, ["--data.val_pairs=5"]) == ([0], [])
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_weights_of_several_devices_are_tested_on_one(together):
    found, _, data = evaluate(["--weights", str(together / "checkpoints/last.ckpt")], "test")
    assert data.trainer.world_size == 1
    expected = {name: value for name, value in results(together)["metrics"].items() if value is not None}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_a_rank_without_a_validation_pair(run, tmp_path):
    """Three ranks share two pairs."""
    more = ["--data.val_pairs=2", f"--data.epoch_samples={STEPS * 6}", "--trainer.max_epochs=1"]
    assert run(ALONE, tmp_path / "alone", 1, [*more, "--data.batch_size=6"]) == ([0], [])
    assert run(TOGETHER, tmp_path / "together", 3, [*more, "--trainer.devices=3"]) == ([0, 0, 0], [])
    found, expected = results(tmp_path / "together"), results(tmp_path / "alone")
    assert measured(found) == pytest.approx(measured(expected), rel=1e-4)


@pytest.mark.parametrize(("of", "step"), [(0, STEPS + 3), (1, 2)])
def test_a_rank_is_killed_and_the_run_started_again(of, step, run, together, tmp_path):
    codes, lines = run(TOGETHER, tmp_path / "run", 2, ["--data.val_pairs=5"], what="SIGKILL", of=of, step=step)
    assert (codes[of], codes[1 - of]) == (-signal.SIGKILL, INTERRUPTED)
    assert [LOST in line for line in lines] == ([True] if of == 1 else []), "the first rank says it, when it can"
    assert run(TOGETHER, tmp_path / "run", 2, ["--data.val_pairs=5"]) == ([0, 0], [])
    assert_same(tmp_path / "run", together)


@pytest.mark.parametrize("what", ["SIGKILL", "SIGTERM", "kill other"])
def test_the_main_process_and_the_one_it_started_end_together(what, run, together, tmp_path):
    """Through Lightning's launcher; ``run`` waits until neither is left."""
    codes, lines = run(TOGETHER, tmp_path / "run", 0, ["--data.val_pairs=5"], what=what, step=STEPS + 5)
    if what == "SIGKILL":
        assert codes == [-signal.SIGKILL]
    else:
        assert codes == [INTERRUPTED]
        (line,) = lines
        assert line.startswith(
            "lightning-mm: " + (LOST if what == "kill other" else f"interrupted at step {STEPS + 5}")
        )
        assert str(tmp_path / "run/checkpoints/last.ckpt") in line
    assert run(TOGETHER, tmp_path / "run", 2, ["--data.val_pairs=5"]) == ([0, 0], [])
    assert_same(tmp_path / "run", together)


def test_no_rank_waits_for_ever_for_one_that_hangs(run, tmp_path):
    codes, lines = run(TOGETHER, tmp_path / "run", what="hang", of=1, step=3)
    assert codes == [INTERRUPTED, -signal.SIGKILL]
    assert LOST in lines[0]
    assert len(lines) == 1


def test_a_loss_that_is_no_number_on_one_rank_ends_both_at_that_step(run, tmp_path):
    codes, lines = run(TOGETHER, tmp_path / "run", what="diverge", of=1, step=3)
    assert codes == [1, 1]
    assert lines == ["lightning-mm: training diverged: the loss became nan at step 3"]


def test_make_train_takes_the_number_of_devices():
    command = ["make", "--no-print-directory", "-n", "train", "DEVICES=2"]  # a make within make says where it is
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    words = shlex.split(shown.stdout.splitlines()[-1])
    assert words[:2] == [".venv/bin/lightning-mm", "fit"]
    assert words[-4:] == ["--trainer.devices", "2", "--trainer.strategy", "ddp"]


def test_the_commands_of_the_readme_are_accepted(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    commands = [line for block in blocks for line in block.replace("\\\n", "").splitlines() if " fit " in line]
    options = [shlex.split(command.partition(" fit ")[2]) for command in commands]
    assert [processes(build([*given, "--trainer.accelerator=cpu"]).trainer) for given in options] == [4, 8, 8]


@pytest.mark.parametrize("ranks", [2, 0])
def test_bad_input_is_said_once(ranks, run, tmp_path):
    codes, lines = run(TOGETHER, tmp_path / "run", ranks, [f"--data.epoch_samples={STEPS * 4 - 1}"])
    assert set(codes) == {2}
    assert lines == ["lightning-mm: error: data.epoch_samples = 63: must be >= 64, one block of echoed scenes"]
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_continued_on_another_number_of_devices(run, together):
    config = (together / "config.yaml").read_text()
    codes, lines = run(TOGETHER, together, 1, ["--data.val_pairs=5", "--trainer.devices=1"])
    assert codes == [2]
    (line,) = lines
    assert "last.ckpt: of a run on 2 devices, not 1" in line
    assert (together / "config.yaml").read_text() == config
