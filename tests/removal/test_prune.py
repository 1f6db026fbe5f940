"""Learning to remove as a whole, in this process: switches, the cut, fine-tuning, interruptions and refusals."""

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml

from lightning_mm.configuration import as_arguments
from lightning_mm.cost import cost
from lightning_mm.errors import InputError, Interrupted
from lightning_mm.models import MagnifierConfig
from lightning_mm.models.switches import Switch
from lightning_mm.removal import prune as module
from lightning_mm.removal.prune import check, prune
from lightning_mm.removal.record import Removal
from lightning_mm.runs import Results
from lightning_mm.tasks.prune import PruneTask, RemovalConfig
from lightning_mm.training import evaluate, fit
from lightning_mm.weights import load_magnifier, read_magnifier

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ARCH = MagnifierConfig(
    "residual", (1, 1, 0), encoder_channels=2, manipulator_block=True, decoder_depth=2, decoder_channels=4, bottleneck=2
)
TINY = [
    *as_arguments([], {f"model.arch.{name}": value for name, value in ARCH.to_dict().items() if value is not None}),
    *("--model.optim.lr=1e-3", "--data.size=16", "--data.val_size=20", "--data.batch_size=2"),
    *("--data.epoch_samples=7", "--data.val_pairs=3", "--data.textures=2", "--data.texture_size=128"),
    *("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--run.latency_size=0"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
]
BLOCKS = ["--model.removal.part=decoder", "--model.removal.component=block", "--model.removal.lr=0.4"]
STEPS = 3  # per epoch


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A trained magnifier of the tiny architecture."""
    directory = tmp_path_factory.mktemp("start")
    fit([*TINY, "--trainer.max_epochs=1", f"--run.dir={directory}"])
    return f"--run.weights={directory / 'checkpoints/last.ckpt'}"


@pytest.fixture(scope="module")
def finished(start, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "cut"
    args = [*TINY, *BLOCKS, start, "--finetune_epochs=1", "--run.ema_decay=0.9", f"--run.dir={directory}"]
    return directory, args, prune(args)


def test_what_was_removed_is_told(finished):
    directory, _, results = finished
    removal, told = Removal.read(directory), json.loads((directory / "removal.json").read_text())
    assert told["mark"] == removal.mark == "x"
    assert [(one["name"], one["removed"]) for one in removal.components] == [("decoder.0", True), ("decoder.1", True)]
    assert all(one["omega"] == removal.curve["omegas"][one["name"]][-1] for one in removal.components)
    assert removal.curve["steps"] == list(range(2 * STEPS + 1))
    left = MagnifierConfig(**removal.arch)
    assert left.block_counts == {"encoder": 2, "manipulator": 1, "decoder": 0}
    for figures, arch in ((removal.before, ARCH), (removal.after, left)):
        assert figures == {"params": cost(arch).params, "paper_flops": cost(arch).paper_flops}
    assert removal.description == "2 of 2 residual blocks of the decoder removed: decoder.0, decoder.1"
    assert (removal.epochs, removal.steps) == (2, 2 * STEPS)
    assert results == Results.read(directory)


def test_the_result_is_an_ordinary_run_of_what_is_left(finished):
    directory, _, results = finished
    removal = Removal.read(directory)
    assert results.arch == removal.arch
    assert results.cost["params"] == removal.after["params"] < removal.before["params"]
    assert results.budget["steps"] == STEPS
    assert results.config["run"]["ema_decay"] == 0.9
    assert results.overrides == {
        f"model.removal.{name}": value for name, value in asdict(RemovalConfig("decoder", "block", lr=0.4)).items()
    }
    magnifier = load_magnifier(directory / "checkpoints/last.ckpt")
    assert not any(isinstance(found, Switch) for found in magnifier.modules())
    measured, _, _ = evaluate(["--weights", str(directory / "checkpoints/last.ckpt")], "validate")
    assert measured["ssim"] == pytest.approx(results.metrics["ssim"], abs=1e-6)
    arch, state = read_magnifier(directory / "cut.safetensors")
    assert arch.to_dict() == removal.arch
    assert any(not torch.equal(value, magnifier.state_dict()[name]) for name, value in state.items())


def test_the_curves_of_the_omegas_are_in_the_logs_too(finished):
    directory, _, _ = finished
    removal = Removal.read(directory)
    rows = csv.DictReader((directory / "switches/logs/version_0/metrics.csv").read_text().splitlines())
    logged = [row for row in rows if row["train/omega/decoder.0"]]
    for name, values in removal.curve["omegas"].items():
        assert [float(row[f"train/omega/{name}"]) for row in logged] == pytest.approx(values[1:])
    means = [sum(1.0 - values[step] for values in removal.curve["omegas"].values()) / 2 for step in range(2 * STEPS)]
    assert [float(row["train/removal"]) for row in logged] == pytest.approx(means, abs=1e-6)


def test_the_page_shows_every_curve(finished):
    html = (finished[0] / "removal.html").read_text()
    assert "2 of 2 residual blocks of the decoder removed" in html
    assert "x (all removed)" in html
    assert html.count("step %{x}") == 2


def test_the_same_again_does_nothing(finished, monkeypatch):
    directory, args, results = finished
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    monkeypatch.setattr(L.Trainer, "fit", None)
    monkeypatch.setattr(L.Trainer, "test", None)
    assert prune(args) == results
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def moved(finished, where):
    """A copy of the finished run and its arguments."""
    directory, args, _ = finished
    shutil.copytree(directory, where)
    for path in (*where.rglob("*.yaml"), where / "results.json"):
        path.write_text(path.read_text().replace(str(directory), str(where)))
    return [*args[:-1], f"--run.dir={where}"]


def test_an_interruption_between_cut_and_fine_tuning_changes_nothing(finished, tmp_path, monkeypatch):
    args = moved(finished, tmp_path / "cut")
    for path in (tmp_path / "cut").iterdir():
        if path.name in ("checkpoints", "logs"):
            shutil.rmtree(path)
        elif path.name in ("results.json", "config.yaml", "finetune.yaml"):
            path.unlink()
    trained = []
    monkeypatch.setattr(PruneTask, "training_step", lambda *given: trained.append(given))
    assert prune(args).metrics == finished[2].metrics
    assert not trained


def test_an_interruption_with_switches_changes_nothing(finished, tmp_path, monkeypatch):
    args = [*finished[1][:-1], f"--run.dir={tmp_path / 'cut'}"]
    original = PruneTask.training_step

    def step(self, batch, batch_idx):
        if self.global_step == STEPS + 1:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PruneTask, "training_step", step)
        with pytest.raises(Interrupted, match="run the same command again"):
            prune(args)
    assert not (tmp_path / "cut/removal.json").exists()
    results = prune(args)
    assert results.metrics == finished[2].metrics
    again, before = Removal.read(tmp_path / "cut"), Removal.read(finished[0])
    assert (again.curve, again.components) == (before.curve, before.components)


def test_no_fine_tuning_only_measures_what_was_cut(finished, tmp_path):
    args = moved(finished, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/checkpoints")
    results = prune([*args, "--finetune_epochs=0"])
    assert results.budget["steps"] == 0
    source = ["--weights", str(tmp_path / "cut/cut.safetensors")]
    options = [option for option in TINY if option.startswith(("--data", "--trainer.acc"))]
    measured, _, _ = evaluate([*source, *options], "validate")
    assert results.metrics["ssim"] == pytest.approx(measured["ssim"], abs=1e-6)


def test_more_epochs_with_switches_behind_a_fine_tuning_are_refused(finished, tmp_path):
    args = moved(finished, tmp_path / "cut")
    with pytest.raises(InputError, match="holds a cut after 2 epochs with switches, not 3"):
        prune([*args, "--trainer.max_epochs=3"])
    with pytest.raises(InputError, match=r"holds a run with model\.removal\.weight = 0\.1, not 0\.2"):
        prune([*args, "--model.removal.weight=0.2"])


def test_components_that_stay_are_told_from_those_that_go(start, tmp_path):
    args = [*TINY, "--model.removal.part=encoder", "--model.removal.component=skip", "--model.removal.lr=1e-6"]
    results = prune([*args, start, "--trainer.max_epochs=1", "--finetune_epochs=0", f"--run.dir={tmp_path}"])
    removal = Removal.read(tmp_path)
    assert (removal.mark, results.arch) == ("-", ARCH.to_dict())
    assert removal.description == "0 of 2 skip connections of the encoder removed"


LINEAR = ["--model.arch.encoder=linear", "--model.removal.part=encoder", "--model.removal.component=block"]
REFUSED = {
    "linear encoder": (LINEAR, r"part = 'encoder'.*the encoder \(linear\) of this architecture has no residual blocks"),
    "threshold of 1": (
        [*BLOCKS, "--model.removal.threshold=1"],
        r"RemovalConfig\.threshold = 1\.0: must be in \(0, 1\)",
    ),
    "threshold of 0": ([*BLOCKS, "--model.removal.threshold=0"], r"RemovalConfig\.threshold = 0\.0"),
    "power": ([*BLOCKS, "--model.removal.power=0.5"], r"RemovalConfig\.power = 0\.5: must be in \[1, 100\]"),
    "weight": ([*BLOCKS, "--model.removal.weight=0"], r"RemovalConfig\.weight = 0\.0: must be > 0"),
    "rate": ([*BLOCKS, "--model.removal.lr=1"], r"RemovalConfig\.lr = 1\.0: must be in \(0, 1\)"),
    "no number": ([*BLOCKS, "--model.removal.lr=nan"], r"model\.removal\.lr"),
    "unknown part": (["--model.removal.part=body", "--model.removal.component=block"], r"model\.removal.*body"),
    "unknown component": (["--model.removal.part=decoder", "--model.removal.component=bias"], r"removal.*bias"),
    "no part": (["--model.removal.component=block"], r"removal"),
    "no epochs with switches": ([*BLOCKS, "--trainer.max_epochs=0"], r"trainer\.max_epochs = 0: must be >= 1"),
    "negative epochs": ([*BLOCKS, "--finetune_epochs=-1"], "finetune_epochs"),
    "another architecture": ([*BLOCKS, "--model.arch.decoder_depth=3"], "has decoder_depth = 2, this configuration 3"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("function", [check, prune])
def test_what_is_wrong_is_refused_before_anything_is_written(case, function, start, tmp_path):
    args, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as refusal:
        function([*TINY, start, *args, f"--run.dir={tmp_path / 'x'}"])
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_must_be_given_but_for_the_baseline(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"run\.weights: not given; must be trained weights of the architecture"):
        check([*TINY, *BLOCKS, f"--run.dir={tmp_path / 'x'}"])
    started = []
    monkeypatch.setattr(module, "start_from", lambda cli, source: started.append(source))
    configs = [f"--config={EXPERIMENTS / name}" for name in ("base.yaml", "baseline.yaml")]
    check([*configs, *BLOCKS, "--trainer.accelerator=cpu", "--trainer.precision=32-true"])
    assert started == ["baseline"]


def test_another_run_in_the_directory_is_refused(finished, tmp_path):
    args = moved(finished, tmp_path / "cut")
    (tmp_path / "cut/removal.json").unlink()
    with pytest.raises(InputError, match="holds another training"):
        prune(args)


def test_several_processes_are_refused(start, tmp_path):
    with pytest.raises(InputError, match=r"trainer\.devices: 2 processes"):
        prune([*TINY, *BLOCKS, start, "--trainer.devices=2", "--trainer.strategy=ddp", f"--run.dir={tmp_path / 'x'}"])
    assert list(tmp_path.iterdir()) == []


ROWS = [
    f"{part}_{component}" for part in ("encoder", "manipulator", "decoder") for component in ("relu", "skip", "block")
]


def test_the_nine_rows_of_table_1_differ_in_what_is_removed():
    for row in ROWS:
        part, component = row.split("_")
        assert yaml.safe_load((EXPERIMENTS / f"table1/{row}.yaml").read_text()) == {
            "run": {"dir": f"runs/table1/{row}", "weights": "baseline"},
            "model": {"removal": {"part": part, "component": component}},
        }


def test_a_row_of_table_1_is_a_configuration():
    files = ("base.yaml", "baseline.yaml", "table1/decoder_skip.yaml")
    configs = [f"--config={EXPERIMENTS / name}" for name in files]
    cli = module._build([*configs, "--trainer.accelerator=cpu", "--trainer.precision=32-true"])
    assert (cli.model.removal.part, cli.model.removal.component) == ("decoder", "skip")
    assert cli.model.arch == MagnifierConfig.baseline()
    assert (str(cli.run_dir), cli.options.weights) == ("runs/table1/decoder_skip", "baseline")
    assert (cli.options.ema_decay, cli.ema_decay) == (0.0, 0.999)


def test_a_damaged_record_is_refused(tmp_path):
    for content in ("", "{}", "[]"):
        (tmp_path / "removal.json").write_text(content)
        with pytest.raises(InputError, match="not a file of 'lightning-mm prune'"):
            Removal.read(tmp_path)
