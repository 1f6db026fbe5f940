"""A run that is stopped anywhere and started again ends bit for bit where it would have ended undisturbed.

Runs happen in processes of their own, forked from one that has imported everything already.
"""

import csv
import io
import json
import os
import signal

import pytest
import torch

import lightning_mm.cli
from lightning_mm import training
from lightning_mm.tasks.magnify import MagnifyTask

EPOCHS, STEPS, VAL_BATCHES = 3, 3, 2  # epochs, training steps per epoch, validation steps per epoch
SANITY = 2  # validation steps before the first epoch, which Lightning takes to find mistakes early
TINY = [
    *("--model.arch.encoder_channels=2", "--model.arch.decoder_depth=1", "--model.arch.decoder_channels=4"),
    *("--model.optim.lr=3e-3", "--model.optim.warmup_steps=2", "--model.optim.schedule=cosine"),
    *("--data.size=16", "--data.batch_size=2", f"--data.epoch_samples={2 * STEPS}", "--data.val_pairs=3"),
    *("--data.textures=4", "--data.texture_size=128"),
    *(f"--trainer.max_epochs={EPOCHS}", "--trainer.log_every_n_steps=1", "--trainer.gradient_clip_val=0.5"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--run.latency_size=0"),
]
VARIANTS = {
    "plain": [],
    "workers": ["--data.num_workers=2"],
    "ema": ["--run.ema_decay=0.9"],
    "accumulate": ["--trainer.accumulate_grad_batches=2"],
}
INTERRUPTED = 75


def fit(args, out, err, disturbance):
    """``lightning-mm fit`` in a process of its own."""
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    if disturbance is not None:
        disturb(*disturbance)
    return lightning_mm.cli.main(["fit", *args])


def disturb(point, call, signal, group):
    """Send a signal to this process, or to its group, when a function is called for the (call + 1)-th time."""
    owner, name = {
        "training_step": (MagnifyTask, "training_step"),
        "validation_step": (MagnifyTask, "validation_step"),
        "test_step": (MagnifyTask, "test_step"),
        "save": (torch, "save"),
        "samples": (training, "write_samples"),
    }[point]
    original = getattr(owner, name)
    calls = 0

    def disturbed(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call + 1:
            if point == "save":  # in the middle of the file
                whole = io.BytesIO()
                original(args[0], whole)
                args[1].write(whole.getvalue()[:1000])
                args[1].flush()
            (os.killpg if group else os.kill)(0 if group else os.getpid(), signal)
        return original(*args, **kwargs)

    setattr(owner, name, disturbed)


@pytest.fixture(scope="module")
def run(fork_server):
    """Call ``lightning-mm fit`` for a variant in a directory; returns the exit code and the lines on standard error."""

    def call(variant, run_dir, point=None, call=0, signal=0, group=False, more=()):
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        out, err = run_dir.with_suffix(".out"), run_dir.with_suffix(".err")
        err.unlink(missing_ok=True)
        args = [*TINY, *VARIANTS[variant], f"--run.dir={run_dir}", *more]
        disturbance = None if point is None else (point, call, int(signal), group)
        code = fork_server.wait(fork_server.fork("test_resume", "fit", args, str(out), str(err), disturbance))
        return code, err.read_text().splitlines()

    return call


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    """What a variant's run leaves behind when nothing stops it; computed once."""
    known = {}

    def outcome_of(variant):
        if variant not in known:
            run_dir = tmp_path_factory.mktemp("undisturbed") / variant
            assert run(variant, run_dir) == (0, [])
            known[variant] = outcome(run_dir)
        return known[variant]

    return outcome_of


def outcome(run_dir):
    """Everything that must not depend on where a run was stopped, flat."""
    results = json.loads((run_dir / "results.json").read_text())
    del results["budget"]["train_seconds"], results["budget"]["samples_per_second"]
    found = {key: results[key] for key in ("arch", "metrics", "floors", "budget", "validation", "definitions")}
    for name in ("last", "best"):
        checkpoint = torch.load(run_dir / f"checkpoints/{name}.ckpt", weights_only=True)
        keys = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "hyper_parameters")
        found[name] = {k: checkpoint[k] for k in (*keys, "current_model_state", "averaging_state") if k in checkpoint}
    found["logged"] = logged(run_dir)
    found["samples"] = (run_dir / "samples.png").read_bytes()
    return dict(flat(found))


def logged(run_dir):
    """What metrics.csv of all starts say, the latest counting: (step, name) to value."""
    found, untold = {}, ("step", "train/samples_per_second")
    for path in sorted(run_dir.glob("logs/version_*/metrics.csv"), key=lambda p: int(p.parent.name.split("_")[1])):
        for row in csv.DictReader(path.read_text().splitlines()):
            found |= {f"{row['step']} {name}": value for name, value in row.items() if value and name not in untold}
    return found


def flat(tree, path=""):
    if isinstance(tree, dict | list | tuple):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from flat(value, f"{path}/{key}")
    else:
        yield path, (str(tree.dtype), tree.shape, tree.numpy().tobytes()) if isinstance(tree, torch.Tensor) else tree


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != expected[key]] == []


def test_an_undisturbed_run_is_complete_and_trains(undisturbed):
    found = undisturbed("plain")
    losses = [found[f"/logged/{step} train/loss"] for step in range(EPOCHS * STEPS)]
    assert len(set(losses)) == EPOCHS * STEPS
    assert [found[f"/logged/{STEPS * e + STEPS - 1} val/ssim"] for e in range(EPOCHS)]
    assert found["/last/global_step"] == EPOCHS * STEPS
    assert any(key.startswith("/last/optimizer_states/0/state/") for key in found)


def test_the_number_of_workers_changes_nothing(undisturbed):
    assert_same(undisturbed("workers"), undisturbed("plain"))


def test_averaging_changes_what_is_saved_and_nothing_of_the_training(undisturbed):
    ema, plain = undisturbed("ema"), undisturbed("plain")
    weight = "magnifier.decoder.body.0.conv1.weight"
    assert ema[f"/last/state_dict/{weight}"] != plain[f"/last/state_dict/{weight}"]
    assert ema[f"/last/current_model_state/{weight}"] == plain[f"/last/state_dict/{weight}"]
    assert ema["/logged/8 train/loss"] == plain["/logged/8 train/loss"]
    assert ema["/logged/8 val/ssim"] != plain["/logged/8 val/ssim"]


POINTS = [
    # The epochs' ends are behind steps 2, 5 and 8.
    *(("plain", "training_step", step) for step in (1, 2, 3, 5, 7)),
    ("plain", "validation_step", SANITY + VAL_BATCHES + 1),
    *(("plain", "save", call) for call in (1, 2)),
    ("plain", "samples", 0),
    *(("workers", "training_step", step) for step in (3, 5)),
    *(("ema", "training_step", step) for step in (3, 8)),
    ("ema", "test_step", 0),
    ("accumulate", "training_step", 4),
]


@pytest.mark.parametrize(("variant", "point", "call"), POINTS)
def test_killed_and_started_again(variant, point, call, run, undisturbed, tmp_path):
    run_dir = tmp_path / variant
    assert run(variant, run_dir, point, call, signal.SIGKILL) == (-signal.SIGKILL, [])
    assert not (run_dir / "results.json").exists()
    assert run(variant, run_dir) == (0, [])
    assert_same(outcome(run_dir), undisturbed(variant))


def test_killed_again_and_again(run, undisturbed, tmp_path):
    run_dir = tmp_path / "plain"
    # Calls are counted from each start: the first epoch is done, then the second, then the third.
    for call in (4, 3, 4, 0, 1):
        run("ema", run_dir, "training_step", call, signal.SIGKILL)
    assert run("ema", run_dir) == (0, [])
    assert_same(outcome(run_dir), undisturbed("ema"))


SIGNALS = [
    ("plain", "training_step", 4, signal.SIGINT, False),
    ("plain", "training_step", 4, signal.SIGTERM, False),
    ("plain", "save", 2, signal.SIGTERM, False),
    ("plain", "test_step", 0, signal.SIGINT, False),
    ("workers", "training_step", 4, signal.SIGINT, True),
    ("workers", "training_step", 4, signal.SIGTERM, True),
    ("ema", "validation_step", SANITY + VAL_BATCHES, signal.SIGINT, False),
]


@pytest.mark.parametrize(("variant", "point", "call", "sent", "group"), SIGNALS)
def test_interrupted_and_started_again(variant, point, call, sent, group, run, undisturbed, tmp_path):
    run_dir = tmp_path / variant
    code, lines = run(variant, run_dir, point, call, sent, group)
    assert code == INTERRUPTED
    assert len(lines) == 1
    assert lines[0].startswith("lightning-mm: interrupted at step ")
    assert str(run_dir / "checkpoints/last.ckpt") in lines[0]
    assert not list(run_dir.rglob("*.tmp"))
    assert run(variant, run_dir) == (0, [])
    assert_same(outcome(run_dir), undisturbed(variant))
