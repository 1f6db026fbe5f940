"""Speed of training: what is measured, what belongs to which part, and what is left behind."""

import json
import math
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.swa_utils import AveragedModel

from lightning_mm import timing
from lightning_mm.benchmarking import parts, printing, reading, train
from lightning_mm.benchmarking.train import TrainingSpeed, measure_training
from lightning_mm.cli import main
from lightning_mm.configuration import build
from lightning_mm.data import datamodule, echo, rendering
from lightning_mm.data.oh2018 import write_oh2018
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.losses import MagnificationLoss, PerceptualDistance
from lightning_mm.machine import cores
from lightning_mm.models import Magnifier
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.timing import Summary

TINY = [
    *("--model.arch.encoder_channels=2", "--model.arch.decoder_depth=1", "--model.arch.decoder_channels=4"),
    *("--data.size=32", "--data.batch_size=2", "--data.textures=2", "--data.texture_size=64", "--data.val_pairs=1"),
    *("--trainer.accelerator=cpu", "--trainer.precision=bf16-mixed"),
]
DATA = ["draw scenes and collate", "render", "degrade"]
NETWORK = ["encoder", "manipulator", "decoder", "loss terms"]
PARTS = [*DATA, *NETWORK, "optimiser and clipping"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small(here, monkeypatch):
    """Few calls, few files, no large frames."""
    monkeypatch.setattr(timing, "MAX_CALLS", 2)
    monkeypatch.setattr(parts, "PAPER_SIZE", 32)
    monkeypatch.setattr(reading, "SAMPLES", 2)
    monkeypatch.setattr(train, "cores", lambda: 0)


@pytest.fixture
def ticking(small, monkeypatch):
    """A clock that nothing moves but what ``slow`` makes take a second."""
    now = [0.0]

    def perf_counter():
        now[0] += 1e-9
        return now[0]

    def slow(owner, name):
        original = getattr(owner, name)

        def slowed(*args, **kwargs):
            now[0] += 1.0
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, slowed)

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=perf_counter))
    return slow


def test_the_command_measures_everything_and_writes_one_file(here, monkeypatch, capsys):
    monkeypatch.setattr(timing, "MAX_CALLS", 2)
    monkeypatch.setattr(parts, "PAPER_SIZE", 48)
    args = ["--repeats", "2", *TINY, "--run.ema_decay", "0.9", "--json", "new/speed.json"]
    assert main(["benchmark", "train", *args]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [str(path.relative_to(here)) for path in sorted(here.rglob("*"))] == ["new", "new/speed.json"]
    found = json.loads((here / "new/speed.json").read_text())
    measured = [*PARTS, "averaging of weights"]
    assert list(found["parts"]) == [*measured, "framework"]
    files = [f"read PNG files, 32 x 32, workers: {workers}" for workers in (0, cores())]
    assert list(found["rates"]) == ["render, 32 x 32", "render, 48 x 48", *files]
    for summary in [found["step"], *(found["parts"][name] for name in measured), *found["rates"].values()]:
        assert len(summary["raw"]) == 2
        assert min(summary["raw"]) > 0.0
        assert summary["median"] == pytest.approx(sum(summary["raw"]) / 2)
    assert sum(part["share"] for part in found["parts"].values()) == pytest.approx(1.0)
    for part in found["parts"].values():
        assert part["share"] == pytest.approx(part["median"] / found["step"]["median"])
    assert found["samples_per_second"] == pytest.approx(2 / found["step"]["median"])
    assert found["ms_per_sample"] == pytest.approx(500 * found["step"]["median"])
    assert found["setup"]["arch"]["decoder_channels"] == 4
    assert found["setup"]["params"] == sum(p.numel() for p in build(TINY).model.magnifier.parameters())
    for text in (
        *measured,
        "framework",
        *found["rates"],
        "32 x 32 px",
        "batches of 2",
        "bf16-mixed",
        torch.__version__,
    ):
        assert text in out


OWNERS = {
    "draw scenes and collate": ([(SceneSampler, "__call__")], 2.0),
    "render": ([(module, "render_clean") for module in (rendering, echo, parts)], 1.0),
    "degrade": ([(module, "degrade") for module in (rendering, echo, datamodule, parts)], 1.0),
    "encoder": ([(Magnifier, "encode")], 3.0),
    "manipulator": ([(Magnifier, "manipulate")], 1.0),
    "decoder": ([(Magnifier, "decode")], 1.0),
    "loss terms": ([(MagnificationLoss, "forward")], 1.0),
    "optimiser and clipping": ([(MagnifyTask, "configure_gradient_clipping"), (torch.optim.Adam, "step")], 2.0),
    "averaging of weights": ([(AveragedModel, "update_parameters")], 1.0),
    "framework": ([(MagnifyTask, "on_train_batch_start")], 1.0),
}


@pytest.mark.parametrize("name", OWNERS)
def test_time_counts_to_the_part_that_takes_it(name, ticking):
    owners, seconds = OWNERS[name]
    for owner, function in owners:
        ticking(owner, function)
    found = measure_training([*TINY, "--run.ema_decay=0.9"], repeats=2)
    assert found.step.raw == pytest.approx([seconds] * 2, abs=1e-6)
    assert found.shares() == pytest.approx({n: float(n == name) for n in found.shares()}, abs=1e-6)
    assert name in found.shares()


def test_time_of_a_part_is_real_time(small, monkeypatch):
    original = Magnifier.decode

    def slow(*args):
        time.sleep(0.05)
        return original(*args)

    monkeypatch.setattr(Magnifier, "decode", slow)
    found = measure_training(TINY, repeats=1)
    assert found.parts["decoder"].median >= 0.05
    assert found.step.median >= 0.05
    assert found.shares()["decoder"] >= 0.05 / found.step.median


def test_echoed_scenes_are_rendered_once_for_all_their_showings(ticking):
    for module in (rendering, echo, parts):
        ticking(module, "render_clean")
    found = measure_training([*TINY, "--data.echo=4"], repeats=1)
    assert found.step.median == pytest.approx(0.25, abs=1e-6)
    assert found.parts["render"].median == pytest.approx(0.25, abs=1e-6)


def test_a_step_of_the_optimiser_counts_to_all_its_batches(ticking):
    ticking(MagnifyTask, "configure_gradient_clipping")
    found = measure_training([*TINY, "--trainer.accumulate_grad_batches=2"], repeats=2)
    assert found.step.raw == pytest.approx([0.5, 0.5], abs=1e-6)
    assert found.parts["optimiser and clipping"].raw == pytest.approx([0.5, 0.5], abs=1e-6)


def test_the_perceptual_term_is_a_part_of_its_own(ticking, monkeypatch):
    class Distance(PerceptualDistance):
        def __init__(self, weights):
            torch.nn.Module.__init__(self)

        def forward(self, output, target):
            return (output - target).square().mean()

    ticking(Distance, "forward")
    monkeypatch.setattr("lightning_mm.losses.PerceptualDistance", Distance)
    found = measure_training([*TINY, "--model.loss.perceptual=0.1"], repeats=2)
    assert list(found.parts) == [*DATA, *NETWORK, "perceptual term", "optimiser and clipping"]
    assert found.shares()["perceptual term"] == pytest.approx(1.0, abs=1e-6)
    assert found.shares()["loss terms"] == pytest.approx(0.0, abs=1e-6)


def test_stored_pairs_are_read_and_not_rendered(here, small):
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(5, 4, 3, 24, 40, generator=generator) * 2 - 1
    write_oh2018(here / "pairs", [(*sample, 2.0) for sample in frames])
    found = measure_training([*TINY, f"--data.oh2018={here / 'pairs'}", "--data.val_pairs=1"], repeats=1)
    assert list(found.parts) == ["read and collate", "convert and degrade", *NETWORK, "optimiser and clipping"]
    assert list(found.rates) == ["read PNG files, 40 x 24, workers: 0"]
    assert (found.setup["height"], found.setup["width"]) == (24, 40)


def test_weights_are_left_as_they_were_at_any_learning_rate(small, monkeypatch):
    built = []
    monkeypatch.setattr(train, "build", lambda args: built.append(build(args)) or built[-1])
    args = [*TINY, "--model.optim.lr=0.9", "--trainer.gradient_clip_val=1.0"]
    before = build(args).model.magnifier.state_dict()
    measure_training(args, repeats=1)
    after = built[0].model.magnifier.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert before.keys() == after.keys()


def test_the_trainer_does_what_the_configuration_says_and_writes_nothing(here, small, monkeypatch):
    trainers = []
    monkeypatch.setattr(train, "_setup", lambda trainer, *args: trainers.append(trainer) or {"batch_size": 2})
    options = ["--trainer.gradient_clip_val=0.5", "--trainer.devices=1", "--run.wandb=offline", "--run.dir=x"]
    measure_training([*TINY, *options, "--data.epoch_samples=2", "--trainer.max_epochs=1"], repeats=1)
    assert trainers[0].precision == "bf16-mixed"
    assert trainers[0].gradient_clip_val == 0.5
    assert not any(isinstance(callback, ModelCheckpoint) for callback in trainers[0].callbacks)
    assert list(here.iterdir()) == []


def speed(**more):
    """A measurement whose parts overlap."""
    setup = {"device": "cpu", "processor": "P", "threads": 1, "cores": 2, "torch": "2", "precision": "32-true"}
    setup |= {"height": 24, "width": 40, "batch_size": 4, "accumulate_grad_batches": 1, "echo": 1, "num_workers": 0}
    setup |= {"compile": False, "data": "synthetic pairs", "arch": {"encoder": "linear"}, "params": 1234567}
    step, parts = Summary.of([0.4, 0.8, 0.5]), {"a": Summary.of([0.4, 0.4, 0.1]), "b": Summary.of([0.2, 0.3, 0.25])}
    return TrainingSpeed(setup | more, step, parts, {"read": Summary.of([10.0, 20.0, 40.0])})


def test_the_framework_is_what_is_left_even_below_zero():
    assert speed().framework == pytest.approx(-0.15)
    assert speed().shares() == pytest.approx({"a": 0.8, "b": 0.5, "framework": -0.3})
    assert json.loads(json.dumps(speed().to_dict()))["parts"]["framework"]["share"] == pytest.approx(-0.3)


def test_what_is_printed(capsys):
    printing.print_speed(speed(echo=3, accumulate_grad_batches=2, device="GPU"))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a", "100.000", "62.500", "to", "100.000", "80.0", "%"] in rows
    assert ["framework", "-37.500", "-30.0", "%"] in rows
    assert ["whole", "step", "125.000", "112.500", "to", "162.500", "100.0", "%"] in rows
    assert ["train,", "whole", "step", "8.0", "6.2", "to", "8.9"] in rows
    assert ["read", "20.0", "15.0", "to", "30.0"] in rows
    assert printing.header(speed(echo=3, accumulate_grad_batches=2, device="GPU", compile=True)) == [
        "GPU, P, 1 threads on 2 cores, torch 2, 32-true, compiled, 0 loader workers",
        "synthetic pairs, 40 x 24 px, batches of 4, 2 to a step of the optimiser, each scene shown 3 times",
        "1,234,567 parameters: encoder linear",
    ]


BAD = {
    "nothing": ([], "train"),
    "unknown": (["fit"], "'fit'"),
    "no repeats": (["train", *TINY, "--repeats=0"], "--repeats 0: must be >= 1"),
    "text for repeats": (["train", *TINY, "--repeats", "many"], "many"),
    "nothing behind repeats": (["train", *TINY, "--repeats"], "--repeats"),
    "prefix": (["train", *TINY, "--repeat=3"], "repeat"),
    "nothing behind json": (["train", *TINY, "--json"], "--json"),
    "folder for json": (["train", *TINY, "--json", "."], "is a directory"),
    "file in the way of json": (["train", *TINY, "--json", "file/speed.json"], "file/speed.json"),
    "unknown key": (["train", *TINY, "--repeats=1", "--model.arch.depth=3"], "model.arch.depth"),
    "missing configuration": (["train", "--config", "none.yaml"], "none.yaml"),
    "missing photos": (["train", *TINY, "--data.photos=none"], "none"),
    "missing data set": (["train", *TINY, "--data.oh2018=none"], "none"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_options_are_refused(name, here, capsys):
    args, named = BAD[name]
    (here / "file").write_text("in the way")
    assert main(["benchmark", *args]) == 2
    out, err = capsys.readouterr()
    assert (len(err.splitlines()), out) == (1, "")
    assert err.startswith("lightning-mm: error: ")
    assert named in err
    assert [path.name for path in here.rglob("*")] == ["file"]


def test_the_command_explains_itself(capsys):
    assert main(["benchmark", "--help"]) == 0
    assert "usage: lightning-mm benchmark" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["benchmark", "train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert all(text in out for text in ("--repeats N", "--json FILE", "lightning-mm fit", "default: 5"))


def test_an_interruption_ends_it(small, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(MagnifyTask, "training_step", interrupt)
    try:
        assert main(["benchmark", "train", *TINY, "--json=speed.json"]) == 75
    finally:
        signal.signal(signal.SIGINT, before)  # the Trainer ignores further ones
    assert capsys.readouterr().err == "lightning-mm: interrupted\n"


def test_a_loss_that_is_not_finite_is_said(small, monkeypatch, capsys):
    monkeypatch.setattr("lightning_mm.losses.F.l1_loss", lambda x, y: (x - y).abs().mean() * math.nan)
    assert main(["benchmark", "train", *TINY]) == 1
    assert "the loss became nan at step 0" in capsys.readouterr().err
