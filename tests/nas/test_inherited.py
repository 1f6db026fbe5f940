"""Supernets as estimators: scores against exported networks, and what a training leaves behind."""

import copy
import json
import math

import pytest
import torch
from small_spaces import CHOICE, ELASTIC, build, genotypes

from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.rendering import render_pairs
from lightning_mm.errors import InputError, Interrupted
from lightning_mm.losses import MagnificationLoss
from lightning_mm.metrics import ssim
from lightning_mm.nas import inherited
from lightning_mm.nas.inherited import Inherited, train_supernet
from lightning_mm.spaces import ChoiceSpace, path_rng
from lightning_mm.tasks import SupernetTask
from lightning_mm.tasks.supernet import PROBES

SPACE = ChoiceSpace((1, 0, 0), 2, 4, stem_channels=2, tail_channels=4)
STEPS, EPOCHS = 3, 2
TINY = [
    f"--model.space={json.dumps(SPACE.to_dict())}",
    *("--model.optim.lr=3e-3", "--data.size=16", "--data.batch_size=2", f"--data.epoch_samples={2 * STEPS}"),
    *("--data.val_pairs=5", "--data.search_pairs=3", "--data.textures=2", "--data.texture_size=128"),
    *(f"--trainer.max_epochs={EPOCHS}", "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu"),
    "--trainer.enable_progress_bar=false",
]
DIVERGING = ["--model.optim.lr=0.9", "--model.initialisation=kaiming"]


def data_of(**values):
    plain = {"size": 16, "batch_size": 2, "epoch_samples": 6, "textures": 2, "texture_size": 64, "val_pairs": 5}
    return PairDataModule(**plain | values)


def steps_of(monkeypatch, upto=None):
    """Numbers of the training steps from here on; at ``upto`` the user interrupts."""
    taken = []
    original = SupernetTask.training_step

    def step(self, batch, batch_idx):
        if self.global_step == upto:
            raise KeyboardInterrupt
        taken.append(self.global_step)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(SupernetTask, "training_step", step)
    return taken


def weights_of(estimator):
    return {name: value.clone() for name, value in estimator.supernet.store.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- Scores ---


@pytest.mark.parametrize("space", [CHOICE, ELASTIC])
@pytest.mark.parametrize("search_pairs", [0, 3])
def test_the_score_is_the_mean_ssim_of_the_exported_network(space, search_pairs):
    supernet = build(space, residual_scale="learnable")
    data = data_of(search_pairs=search_pairs)
    estimator = Inherited(supernet, data)
    split = "search" if search_pairs else "val"
    scenes = data._scenes(split)
    pairs = []
    for index in range(search_pairs or 5):
        scene = {name: value.unsqueeze(0) for name, value in scenes[index].items()}
        pairs.append(render_pairs(scene, data._banks["val"], 16))
    for path in genotypes(space, 4):
        with torch.no_grad():
            magnifier = supernet.export(path)
            outputs = [magnifier(p.frame_a, p.frame_b, p.alpha).clamp(-1, 1) for p in pairs]
            expected = [ssim(output, p.target).item() for output, p in zip(outputs, pairs, strict=True)]
        assert estimator(path) == pytest.approx(sum(expected) / len(expected), abs=1e-5)
        assert estimator(path) == estimator(path)


def test_scores_of_bfloat16_are_near_and_others():
    supernet = build(CHOICE)
    exact, half = (Inherited(supernet, data_of(), precision) for precision in ("32-true", "bf16-mixed"))
    for path in genotypes(CHOICE, 3):
        assert half(path) == pytest.approx(exact(path), abs=0.02)
        assert half(path) != exact(path)


def test_an_output_that_is_no_number_has_no_score():
    supernet = build(CHOICE)
    with torch.no_grad():
        supernet.store["decoder/body/0/conv7/conv1/bias"][0] = math.nan
    estimator = Inherited(supernet, data_of())
    for path in genotypes(CHOICE, 30):
        assert math.isnan(estimator(path)) == (path.values[3] == "conv7")


# --- Training ---


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["weights", "averaged"])
def trained(request, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("supernet") / "run"
    args = [*TINY, f"--run.ema_decay={request.param}", f"--run.dir={run_dir}"]
    outcome, estimator = train_supernet(args)
    assert estimator is not None
    return args, run_dir, outcome, estimator


def test_the_outcome_of_a_training(trained):
    _, run_dir, outcome, estimator = trained
    assert outcome == json.loads((run_dir / "supernet.json").read_text())
    assert (outcome["status"], outcome["steps"], outcome["samples"]) == ("trained", 6, 12)
    assert outcome["seconds"] > 0
    assert 0 < outcome["largest_gradient_norm"] < math.inf
    assert outcome["ssim"].keys() == set(PROBES)
    assert outcome["inverted"] == (outcome["ssim"]["largest"] < outcome["ssim"]["smallest"])
    assert not {"reason", "step", "paths", "gradient_norm"} & outcome.keys()
    probes = SupernetTask(SPACE).probes
    for name, value in outcome["ssim"].items():
        assert estimator(probes[name]) == pytest.approx(value, abs=1e-5)
    assert len(estimator.pairs) == 2
    assert sum(len(pairs.alpha) for pairs in estimator.pairs) == 3, "the search pairs, not those of validation"


def test_the_same_command_loads_and_does_not_train(trained, monkeypatch):
    args, run_dir, outcome, estimator = trained
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.is_file()}
    del before[run_dir / "config.yaml"]
    taken = steps_of(monkeypatch)
    again, loaded = train_supernet(args)
    assert taken == []
    assert again == outcome
    assert same(weights_of(loaded), weights_of(estimator))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for path in genotypes(SPACE, 5):
        assert loaded(path) == estimator(path)


def test_what_is_scored_is_what_is_saved(trained):
    args, run_dir, _, estimator = trained
    checkpoint = torch.load(run_dir / "checkpoints/last.ckpt", weights_only=True)
    saved = {name.removeprefix("supernet.store."): value for name, value in checkpoint["state_dict"].items()}
    assert same({name: saved[name] for name in estimator.supernet.store}, weights_of(estimator))
    averaged = "--run.ema_decay=0.9" in args
    assert ("current_model_state" in checkpoint) == averaged
    if averaged:
        current = checkpoint["current_model_state"]
        assert any(not torch.equal(current[f"supernet.store.{name}"], saved[name]) for name in saved)


def test_an_interrupted_training_goes_on_to_the_same_end(trained, monkeypatch, tmp_path):
    args, _, outcome, estimator = trained
    own = [*args[:-1], f"--run.dir={tmp_path / 'run'}"]
    with monkeypatch.context() as patch:
        taken = steps_of(patch, upto=STEPS + 1)
        with pytest.raises(Interrupted, match=f"interrupted at step {STEPS + 1}; run the same command again"):
            train_supernet(own)
        assert taken == list(range(STEPS + 1))
    assert not (tmp_path / "run/supernet.json").exists()
    taken = steps_of(monkeypatch)
    again, resumed = train_supernet(own)
    assert taken == list(range(STEPS, 2 * STEPS))
    assert same(weights_of(resumed), weights_of(estimator))
    assert {key: again[key] for key in ("status", "steps", "samples", "ssim")} == {
        key: outcome[key] for key in ("status", "steps", "samples", "ssim")
    }


def test_a_training_that_ended_without_its_outcome_gets_one(trained, monkeypatch):
    """Ended from outside between the last checkpoint and the file."""
    args, run_dir, outcome, estimator = trained
    text = (run_dir / "supernet.json").read_text()
    (run_dir / "supernet.json").unlink()
    taken = steps_of(monkeypatch)
    try:
        again, loaded = train_supernet(args)
    finally:
        (run_dir / "supernet.json").write_text(text)
    assert taken == []
    assert {key: again[key] for key in ("status", "steps", "samples", "inverted")} == {
        key: outcome[key] for key in ("status", "steps", "samples", "inverted")
    }
    assert again["ssim"] == pytest.approx(outcome["ssim"], abs=1e-6)
    assert same(weights_of(loaded), weights_of(estimator))


def test_another_configuration_in_the_same_directory_is_refused(trained):
    args, run_dir, _, _ = trained
    with pytest.raises(InputError, match=r"holds a run with model\.optim\.lr = 0\.003, not 0\.004") as caught:
        train_supernet([*args, "--model.optim.lr=4e-3"])
    assert str(run_dir) in str(caught.value)
    with pytest.raises(InputError, match="this space attains"):
        train_supernet([*args, "--model.paths.rule=capped", "--model.paths.max_gflops=0.1"])


def spoil(monkeypatch, step):
    original = MagnificationLoss.forward

    def forward(self, *args):
        loss, terms = original(self, *args)
        return (loss * math.nan if args[-1] == step else loss), terms

    monkeypatch.setattr(MagnificationLoss, "forward", forward)


def test_a_training_that_diverges_is_an_outcome(monkeypatch, tmp_path):
    run_dir = tmp_path / "run"
    args = [*TINY, "--model.path_seed=3", f"--run.dir={run_dir}"]
    with monkeypatch.context() as patch:
        spoil(patch, STEPS + 1)
        outcome, estimator = train_supernet(args)
    assert estimator is None
    assert outcome["status"] == "diverged"
    assert outcome["reason"] == f"the loss became nan at step {STEPS + 1}"
    assert (outcome["step"], outcome["steps"], outcome["samples"]) == (STEPS + 1, STEPS + 1, 2 * (STEPS + 1))
    assert outcome["paths"] == [str(SPACE.sample(path_rng(3, STEPS + 1)))]
    assert 0 < outcome["gradient_norm"] <= outcome["largest_gradient_norm"] < math.inf
    text = (run_dir / "supernet.json").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == outcome
    taken = steps_of(monkeypatch)
    assert train_supernet(args) == (outcome, None)
    assert taken == [], "it stays an outcome"


def test_settings_that_blow_up_are_reported_and_not_raised(tmp_path):
    deep = ChoiceSpace((1, 0, 0), 12, 4, (7,), skip=False, stem_channels=2, tail_channels=4)
    args = [*TINY, f"--model.space={json.dumps(deep.to_dict())}", *DIVERGING, "--data.epoch_samples=20"]
    outcome, estimator = train_supernet([*args, "--trainer.max_epochs=1", f"--run.dir={tmp_path / 'run'}"])
    assert (outcome["status"], estimator) == ("diverged", None)
    assert isinstance(outcome["step"], int)
    assert outcome["reason"].startswith(("the loss became", "the gradient norm became"))
    assert len(outcome["paths"]) == 1
    json.dumps(outcome, allow_nan=False)


def test_an_ssim_that_is_no_number_is_divergence_too(monkeypatch, tmp_path):
    """In a network that no step has drawn since it broke."""
    original = inherited.SupernetTask.validation_step

    def step(self, batch, batch_idx):
        before = copy.deepcopy(self.supernet.store.state_dict())
        with torch.no_grad():
            self.supernet.store["decoder/body/0/conv7/conv1/bias"][0] = math.nan
        original(self, batch, batch_idx)
        self.supernet.store.load_state_dict(before)

    monkeypatch.setattr(SupernetTask, "validation_step", step)
    outcome, estimator = train_supernet([*TINY, f"--run.dir={tmp_path / 'run'}"])
    assert (outcome["status"], outcome["reason"]) == ("diverged", "the SSIM of a network is no number")
    assert (outcome["step"], estimator) == (6, None)
    assert "largest" not in outcome["ssim"]
    assert "smallest" in outcome["ssim"]
    json.dumps(outcome, allow_nan=False)
