"""Runs as a whole, in this process: what they leave behind, and what running again does."""

import csv
import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from PIL import Image

from lightning_mm import training
from lightning_mm.configuration import build
from lightning_mm.cost import cost
from lightning_mm.errors import InputError, Interrupted, TrainingDivergedError
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import Results
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.training import evaluate, fit
from lightning_mm.weights import WeightsInfo, load_magnifier, write_weights

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
TINY = [
    *("--model.arch.encoder_channels=2", "--model.arch.decoder_depth=1", "--model.arch.decoder_channels=4"),
    *("--model.optim.lr=3e-3", "--data.size=16", "--data.val_size=20", "--data.batch_size=2"),
    *("--data.epoch_samples=7", "--data.val_pairs=3", "--data.textures=2", "--data.texture_size=128"),
    *("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--run.latency_size=0"),
]
STEPS = 3  # per epoch: the seventh pair is left over


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    return run_dir, fit([*TINY, f"--run.dir={run_dir}"])


@pytest.fixture
def run_dir(finished, tmp_path):
    """A copy of the finished run, where its configuration says it is."""
    shutil.copytree(finished[0], tmp_path / "tiny")
    for name in ("config.yaml", "results.json"):
        path = tmp_path / "tiny" / name
        path.write_text(path.read_text().replace(str(finished[0]), str(tmp_path / "tiny")))
    return tmp_path / "tiny"


def steps_of(monkeypatch):
    """Numbers of the training steps that are taken from here on."""
    taken = []
    original = MagnifyTask.training_step

    def step(self, batch, batch_idx):
        taken.append(self.global_step)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(MagnifyTask, "training_step", step)
    return taken


def contents(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_the_results_are_complete(finished):
    run_dir, results = finished
    assert Results.read(run_dir) == results
    arch = MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4)
    assert results.name == "tiny"
    assert (results.role, results.overrides) == ("run", {})
    assert results.arch == arch.to_dict()
    assert (
        results.cost["params"] == cost(arch).params == sum(p.numel() for p in MagnifyTask(arch).magnifier.parameters())
    )
    assert results.metrics.keys() == {"ssim", "psnr", "lpips"}
    assert results.metrics["lpips"] is None
    assert results.absent == {"lpips": "not asked for"}
    for values in (results.metrics, results.floors["frame_b"], results.floors["linear_eulerian"]):
        assert -1.0 < values["ssim"] < 1.0
        assert 3.0 < values["psnr"] < 60.0
    assert len({results.metrics["ssim"], *(floor["ssim"] for floor in results.floors.values())}) == 3
    assert results.definitions.keys() == {"ssim", "psnr"}
    assert (results.validation["pairs"], results.validation["height"], results.validation["width"]) == (3, 20, 20)
    seconds, rate = (results.budget.pop(name) for name in ("train_seconds", "samples_per_second"))
    assert rate > 4 * STEPS / seconds > 0.0, "validation is not counted"
    assert results.budget == {
        **{"steps": 2 * STEPS, "samples": 4 * STEPS, "batch_size": 2, "crop": 16, "precision": "32-true", "seed": 0},
    }
    assert results.hardware.keys() == {"device", "devices", "processor", "threads"}
    assert results.hardware["device"] == "cpu"
    assert results.config == yaml.safe_load((run_dir / "config.yaml").read_text())
    assert results.config["model"]["optim"]["lr"] == 3e-3
    results.budget.update(train_seconds=seconds, samples_per_second=rate)


def test_the_checkpoints_are_magnifiers(finished):
    run_dir, results = finished
    for name in ("best", "last"):
        magnifier = load_magnifier(run_dir / f"checkpoints/{name}.ckpt")
        assert magnifier.config.to_dict() == results.arch
    assert {path.name for path in (run_dir / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_metrics_are_logged(finished):
    rows = list(csv.DictReader((finished[0] / "logs/version_0/metrics.csv").read_text().splitlines()))
    losses = {int(row["step"]): float(row["train/loss"]) for row in rows if row["train/loss"]}
    assert list(losses) == list(range(2 * STEPS))
    validated = [float(row["val/ssim"]) for row in rows if row["val/ssim"]]
    assert len(validated) == 2
    assert finished[1].metrics["ssim"] == validated[-1]  # tested are the weights of the last checkpoint


def test_the_best_checkpoint_is_the_one_with_the_highest_ssim(finished):
    run_dir, _ = finished
    rows = csv.DictReader((run_dir / "logs/version_0/metrics.csv").read_text().splitlines())
    validated = [float(row["val/ssim"]) for row in rows if row["val/ssim"]]
    best = torch.load(run_dir / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == max(range(2), key=lambda epoch: validated[epoch])
    assert evaluate(["--weights", str(run_dir / "checkpoints/best.ckpt")], "validate")[0]["ssim"] == max(validated)


def test_the_samples_have_a_row_for_each_pair(finished):
    with Image.open(finished[0] / "samples.png") as picture:
        assert picture.size == (4 * 20, 3 * 20)


def test_the_same_again_does_nothing(finished, run_dir, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(L.Trainer, "fit", fail)
    monkeypatch.setattr(L.Trainer, "test", fail)
    before = contents(run_dir)
    again = fit([*TINY, f"--run.dir={run_dir}"])
    assert again == Results.read(run_dir)
    assert again.metrics == finished[1].metrics
    assert contents(run_dir) == before


CHANGES = {
    "data.seed": ["--data.seed=1"],
    "data.val_pairs": ["--data.val_pairs=4"],
    "model.arch.decoder_depth": ["--model.arch.decoder_depth=2"],
    "model.loss.texture": ["--model.loss.texture=0.1"],
    "model.optim.lr": ["--model.optim.lr=1e-3"],
    "run.ema_decay": ["--run.ema_decay=0.9"],
    "seed_everything": ["--seed_everything=1", "--data.seed=0"],
    "trainer.gradient_clip_val": ["--trainer.gradient_clip_val=1"],
    "trainer.precision": ["--trainer.precision=bf16-mixed"],
    "data.scenes.max_alpha": ["--data.scenes.max_alpha=20", "--model.optim.lr=1e-3"],  # the first in order
}


@pytest.mark.parametrize("key", CHANGES)
def test_another_configuration_is_refused_and_named(key, run_dir):
    before = contents(run_dir)
    with pytest.raises(InputError, match=rf"^{run_dir}: holds a run with {key} = ") as caught:
        fit([*TINY, f"--run.dir={run_dir}", *CHANGES[key]])
    assert "\n" not in str(caught.value)
    assert contents(run_dir) == before


def test_what_does_not_change_the_training_is_no_other_configuration(finished, tmp_path, monkeypatch):
    run_dir = tmp_path / "tiny"
    fit([*TINY, f"--run.dir={run_dir}"])
    taken = steps_of(monkeypatch)
    again = fit([*TINY, f"--run.dir={run_dir}", "--trainer.log_every_n_steps=2"])
    assert taken == []
    assert again.metrics == finished[1].metrics
    assert again.budget["steps"] == 2 * STEPS
    assert again.config["trainer"]["log_every_n_steps"] == 2


def test_more_epochs_continue(finished, tmp_path, monkeypatch):
    run_dir = tmp_path / "tiny"
    before = fit([*TINY, f"--run.dir={run_dir}"])
    taken = steps_of(monkeypatch)
    more = fit([*TINY, f"--run.dir={run_dir}", "--trainer.max_epochs=3"])
    assert taken == [2 * STEPS + i for i in range(STEPS)]
    assert more.budget["steps"] == 3 * STEPS
    assert more.budget["train_seconds"] > before.budget["train_seconds"]
    assert more.metrics != finished[1].metrics
    assert (run_dir / "logs/version_1/metrics.csv").exists()


def test_a_run_elsewhere_has_the_same_numbers(finished, tmp_path):
    again = fit([*TINY, f"--run.dir={tmp_path / 'other'}"], role="trial", overrides={"data.size": 16})
    assert again.metrics == finished[1].metrics
    assert (again.name, again.role, again.overrides) == ("other", "trial", {"data.size": 16})


def test_measuring_a_checkpoint_needs_nothing_else_and_gives_the_runs_numbers(finished):
    run_dir, results = finished
    checkpoint = str(run_dir / "checkpoints/last.ckpt")
    measured, _, data = evaluate(["--weights", checkpoint], "validate")
    assert measured == {"ssim": results.metrics["ssim"], "psnr": results.metrics["psnr"]}
    assert data.validation_identity() == results.validation
    tested, _, _ = evaluate([f"--weights={checkpoint}"], "test")
    assert tested["frame_b_ssim"] == results.floors["frame_b"]["ssim"]
    assert tested["ssim"] == results.metrics["ssim"]
    fewer, _, data = evaluate(["--weights", checkpoint, "--data.val_pairs=1"], "validate")
    assert data.val_pairs == 1
    assert fewer["ssim"] != measured["ssim"]


def test_measuring_a_weights_file_takes_its_architecture_and_otherwise_defaults_and_arguments(finished, tmp_path):
    run_dir, results = finished
    magnifier = load_magnifier(run_dir / "checkpoints/last.ckpt")
    path = run_dir / "checkpoints/last.safetensors"  # beside a run whose configuration is not taken
    write_weights(path, magnifier.state_dict(), magnifier.config, WeightsInfo("tiny", {}, [], "none", "none"))
    try:
        pairs = [arg for arg in TINY if arg.startswith(("--data.", "--trainer."))]
        measured, task, data = evaluate([f"--weights={path}", *pairs], "validate")
        assert measured == {"ssim": results.metrics["ssim"], "psnr": results.metrics["psnr"]}
        assert data.validation_identity() == results.validation
        assert task.arch == magnifier.config
        defaults = build(["--run.dir=x"]).datamodule
        more = ["--data.val_size=20", "--data.textures=2", "--data.texture_size=128", "--trainer.accelerator=cpu"]
        _, _, data = evaluate(["--weights", str(path), *more, "--trainer.enable_progress_bar=false"], "validate")
        assert (data.val_size, data.val_pairs) == (20, defaults.val_pairs)
    finally:
        path.unlink()


def test_measuring_writes_nothing(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(finished[0])
    evaluate(["--weights", str(finished[0] / "checkpoints/best.ckpt")], "test")
    assert contents(finished[0]) == before
    assert os.listdir(tmp_path) == []


def test_a_run_starts_from_weights(finished, tmp_path):
    start = finished[0] / "checkpoints/last.ckpt"
    run_dir = tmp_path / "on"
    still = ["--model.optim.lr=1e-12", f"--run.weights={start}", f"--run.dir={run_dir}", "--trainer.max_epochs=1"]
    fit([*TINY, *still])
    before, after = load_magnifier(start).state_dict(), load_magnifier(run_dir / "checkpoints/last.ckpt").state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-9)


def test_a_run_that_continues_does_not_start_from_weights_again(finished, tmp_path):
    start = finished[0] / "checkpoints/last.ckpt"
    args = [*TINY, f"--run.weights={start}"]
    whole = fit([*args, f"--run.dir={tmp_path / 'whole'}"])
    fit([*args, f"--run.dir={tmp_path / 'parts'}", "--trainer.max_epochs=1"])
    assert fit([*args, f"--run.dir={tmp_path / 'parts'}"]).metrics == whole.metrics


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "nowhere"), (None, "run.weights = .* has decoder_depth = 1, this configuration 2")],
)
def test_weights_to_start_from_that_do_not_fit_are_refused(source, message, finished, tmp_path):
    source = source or finished[0] / "checkpoints/last.ckpt"
    changed = ["--model.arch.decoder_depth=2", f"--run.weights={source}", f"--run.dir={tmp_path / 'new'}"]
    with pytest.raises(InputError, match=message):
        fit([*TINY, *changed])
    assert not (tmp_path / "new").exists()


def test_an_epoch_of_echoed_scenes_is_continued_exactly(tmp_path):
    args = [*TINY, "--data.echo=2", "--data.epoch_samples=40"]
    whole = fit([*args, f"--run.dir={tmp_path / 'whole'}"])
    assert whole.budget["samples"] == 2 * 32, "an epoch is a number of blocks of 8 batches, shown twice"
    fit([*args, f"--run.dir={tmp_path / 'parts'}", "--trainer.max_epochs=1"])
    assert fit([*args, f"--run.dir={tmp_path / 'parts'}"]).metrics == whole.metrics
    states = [load_magnifier(tmp_path / name / "checkpoints/last.ckpt").state_dict() for name in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_averaged_weights_are_what_is_tested_and_saved(tmp_path, monkeypatch):
    decay, trained = 0.5, []

    def record(self, *args):
        trained.append({name: value.detach().clone().double() for name, value in self.magnifier.named_parameters()})

    monkeypatch.setattr(MagnifyTask, "on_train_batch_end", record)
    results = fit([*TINY, f"--run.dir={tmp_path / 'ema'}", f"--run.ema_decay={decay}"])
    assert len(trained) == 2 * STEPS
    expected = trained[0]
    for number, weights in enumerate(trained[1:], start=1):
        keep = min(decay, (1 + number) / (10 + number))
        expected = {name: keep * value + (1 - keep) * weights[name] for name, value in expected.items()}
    magnifier = load_magnifier(tmp_path / "ema/checkpoints/last.ckpt")
    for name, value in magnifier.named_parameters():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(value.double(), trained[-1][name], rtol=1e-5, atol=1e-6)
    monkeypatch.undo()
    checkpoint = str(tmp_path / "ema/checkpoints/last.ckpt")
    assert evaluate(["--weights", checkpoint], "validate")[0]["ssim"] == results.metrics["ssim"]


def test_averaged_weights_come_without_those_of_the_criterion(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_mm.losses._is_vgg19", lambda path: False)
    monkeypatch.setattr(
        "lightning_mm.losses._vgg16", lambda path: (torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3)), (0,))
    )
    args = [*TINY, f"--run.dir={tmp_path / 'ema'}", "--run.ema_decay=0.5", "--model.loss.perceptual=0.1"]
    fit(args)
    checkpoint = torch.load(tmp_path / "ema/checkpoints/last.ckpt", weights_only=True)
    for state in ("state_dict", "current_model_state"):
        assert {name.split(".")[0] for name in checkpoint[state]} == {"magnifier"}
    assert fit([*args, "--trainer.max_epochs=3"]).budget["steps"] == 3 * STEPS  # and continues without them


REFUSED = {
    "trainer.logger": ["--trainer.logger=true"],
    "trainer.default_root_dir": ["--trainer.default_root_dir=elsewhere"],
    "trainer.max_steps": ["--trainer.max_steps=5"],
    "trainer.max_time": ["--trainer.max_time=00:00:01:00"],
    "cuda": ["--trainer.accelerator=cuda", "--trainer.devices=99"],
    "enable_checkpointing": ["--trainer.enable_checkpointing=false"],
    "ema_decay": ["--run.ema_decay=1.0"],
    "no-such-photos": ["--data.photos=no-such-photos"],
    "no-such-folder": ["--data.oh2018=no-such-folder"],
    "epoch_samples": ["--data.epoch_samples=1"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_cannot_be_are_refused_in_one_line_and_nothing_is_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"(?i){name}") as caught:
        fit([*TINY, "--run.dir=runs/x", *REFUSED[name]])
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("more", [[], ["--run.wandb=offline"]])
def test_a_run_directory_that_cannot_be_made_is_named(more, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=str(tmp_path / "file")):
        fit([*TINY, f"--run.dir={tmp_path / 'file/run'}", *more])


def test_a_last_checkpoint_that_cannot_be_read_is_named(run_dir):
    (run_dir / "checkpoints/last.ckpt").write_bytes(b"torn")
    (run_dir / "results.json").unlink()
    with pytest.raises(InputError, match=rf"^{run_dir}/checkpoints/last.ckpt: not a readable checkpoint"):
        fit([*TINY, f"--run.dir={run_dir}"])


def test_a_metric_that_is_no_number_fails_the_run_without_results(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_mm.tasks.magnify.ssim", lambda output, target: torch.full((len(output),), math.nan))
    with pytest.raises(TrainingDivergedError, match="ssim is nan after step 6"):
        fit([*TINY, f"--run.dir={tmp_path / 'nan'}"])
    assert not (tmp_path / "nan/results.json").exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    run_dir = tmp_path / "full"
    torch_save, calls = torch.save, []

    def save(checkpoint, file):
        calls.append(checkpoint["epoch"])
        if checkpoint["epoch"] == 1:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        torch_save(checkpoint, file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(Interrupted, match="No space"):
        fit([*TINY, f"--run.dir={run_dir}"])
    monkeypatch.undo()
    assert sorted(p.name for p in (run_dir / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert torch.load(run_dir / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    taken = steps_of(monkeypatch)
    fit([*TINY, f"--run.dir={run_dir}"])
    assert taken == list(range(STEPS, 2 * STEPS))


NO_PAPER_MODELS = {"half.yaml", "tiny.yaml", "weights.yaml"}


@pytest.mark.parametrize("name", sorted({path.name for path in EXPERIMENTS.glob("*.yaml")} - NO_PAPER_MODELS))
def test_shipped_experiments_build_the_papers_models(name):
    files = ["base.yaml"] if name == "base.yaml" else ["base.yaml", name]
    cli = build([arg for file in files for arg in ("--config", str(EXPERIMENTS / file))])
    paper = {"baseline.yaml": (41.327, 966_979)}.get(name, (9.861, 726_323))
    report = cost(cli.model.arch)
    assert (round(report.paper_flops / 1e9, 3), report.params) == paper
    assert sum(p.numel() for p in cli.model.magnifier.parameters()) == paper[1]
    assert cli.plain_config()["model"]["arch"] == cli.model.arch.to_dict()


def test_tiny_costs_a_tenth_of_the_proposed_model():
    cli = build([arg for file in ("base.yaml", "tiny.yaml") for arg in ("--config", str(EXPERIMENTS / file))])
    assert 0.9 < cost(cli.model.arch).paper_gflops / 0.9861 < 1.1


def test_half_is_the_proposed_model_at_half_its_widths():
    half, whole = (
        build([arg for file in ("base.yaml", name) for arg in ("--config", str(EXPERIMENTS / file))]).model.arch
        for name in ("half.yaml", "proposed.yaml")
    )
    widths = {"encoder_channels": whole.encoder_channels // 2, "decoder_channels": whole.decoder_channels // 2}
    assert half == replace(whole, **widths)
    assert 0.24 < cost(half).paper_gflops / cost(whole).paper_gflops < 0.27


def test_the_experiments_are_there():
    assert {path.name for path in EXPERIMENTS.glob("*.yaml")} >= {
        "base.yaml",
        "baseline.yaml",
        "proposed.yaml",
        "cpu.yaml",
    }


def test_weights_and_biases_offline_needs_no_key_and_starts_a_run_each(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where a key would lie
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-files"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    try:
        for name in ("first", "second"):
            fit([*TINY, f"--run.dir={tmp_path / name}", "--run.wandb=offline", "--trainer.max_epochs=1"])
            assert wandb.run is None
        folders = [folder for name in ("first", "second") for folder in (tmp_path / name).rglob("offline-run-*-*")]
        folders = [folder for folder in folders if folder.is_dir()]
        assert len(folders) == 2
        assert len({folder.name.rsplit("-", 1)[1] for folder in folders}) == 2
        assert all(list(folder.glob("run-*.wandb")) for folder in folders)
        for name in ("first", "second"):
            assert json.loads((tmp_path / name / "results.json").read_text())["metrics"]["ssim"]
            assert (tmp_path / name / "logs/version_0/metrics.csv").exists()
    finally:
        wandb.teardown()


def test_latency_and_images_are_made_where_the_model_was_trained(tmp_path, monkeypatch):
    moves = []  # Lightning moves the model to the processor behind each of its loops; on a GPU that would stay so
    monkeypatch.setattr(MagnifyTask, "cpu", lambda self: moves.append("processor") or self)
    to, measure, draw = MagnifyTask.to, training.frame_latency, training.write_samples

    def noted(self, device, *args, **kwargs):
        moves.append(device)
        return to(self, device, *args, **kwargs)

    monkeypatch.setattr(MagnifyTask, "to", noted)
    monkeypatch.setattr(training, "frame_latency", lambda *args: moves.append("latency") or measure(*args))
    monkeypatch.setattr(training, "write_samples", lambda *args: moves.append("images") or draw(*args))
    found = fit([*TINY, f"--run.dir={tmp_path / 'run'}", "--trainer.max_epochs=1", "--run.latency_size=16"])
    last = len(moves) - 1 - moves[::-1].index("processor")
    assert moves[last + 1 :] == [torch.device("cpu"), "latency", "images"]
    assert found.latency["height"] == 16


def test_samples_are_those_that_were_seen_also_where_gradients_are_accumulated(tmp_path):
    more = ["--data.epoch_samples=16", "--trainer.accumulate_grad_batches=3", f"--run.dir={tmp_path / 'run'}"]
    first = fit([*TINY, *more, "--trainer.max_epochs=1"])
    assert (first.budget["samples"], first.budget["steps"]) == (16, 3)
    both = fit([*TINY, *more, "--trainer.max_epochs=2"])
    assert (both.budget["samples"], both.budget["steps"]) == (32, 6)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.limit_val_batches=1", "trainer.limit_val_batches = 1: not used here; use --data.val_pairs"),
        ("--trainer.limit_test_batches=0.5", "trainer.limit_test_batches = 0.5"),
        ("--trainer.fast_dev_run=true", "trainer.fast_dev_run = True: not used here"),
        (
            "--trainer.precision=bf16-true",
            "trainer.precision = bf16-true: must be one of 32-true, bf16-mixed, 16-m",
        ),
        ("--trainer.precision=64", "trainer.precision = 64-true"),
        ("--trainer.strategy=ddp_spawn", "trainer.strategy: processes that are forked or spawned"),
    ],
)
def test_what_would_measure_something_else_is_refused(option, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        fit([*TINY, f"--run.dir={tmp_path / 'run'}", option])
    assert not (tmp_path / "run").exists()


def test_the_seed_of_the_training_is_that_of_the_samples_unless_they_have_their_own():
    seeds = [
        build([*TINY, *more]).plain_config()["data"]["seed"]
        for more in ([], ["--seed_everything=3"], ["--seed_everything=3", "--data.seed=5"], ["--seed_everything=false"])
    ]
    assert seeds == [0, 3, 5, 0]
