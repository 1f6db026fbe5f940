"""From a sweep to an experiment file: it builds exactly the model that was found."""

import json

import pytest
import yaml

from lightning_mm.cli import main
from lightning_mm.configuration import build
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import Results
from lightning_mm.search.promote import promote


@pytest.fixture
def found(tmp_path):
    """A directory of three trials (0001 dominates the reference, 0002 is on no front) and the hand-designed model."""
    directory = tmp_path / "runs/study"
    shared = {
        "absent": {},
        "floors": {},
        "definitions": {},
        "validation": {"name": "pairs", "pairs": 2, "height": 16, "width": 16, "digest": "d"},
        "budget": {"steps": 5, "samples": 1000, "batch_size": 2, "crop": 16, "precision": "32-true", "seed": 0},
        "hardware": {"device": "cpu", "processor": "a processor", "threads": 1},
    }

    def add(where, role, ssim, flops, overrides=None, **arch):
        config = MagnifierConfig(**arch)
        cost = {"paper_flops": flops, "params": 1234, "height": 384, "width": 384}
        metrics = {"ssim": ssim, "psnr": 20.0, "lpips": None}
        overrides = {f"model.arch.{key}": value for key, value in arch.items()} | (overrides or {})
        name = where.split("/")[-1]
        Results(name, role, overrides, config.to_dict(), cost, metrics, **shared).write(directory / where)

    add("references/proposed", "reference", 0.80, 9e9)
    add("trials/0000", "trial", 0.85, 20e9, decoder_depth=50)
    add("trials/0001", "trial", 0.82, 8e9, {"model.optim.lr": 0.002}, decoder_depth=12, bottleneck=8)
    add("trials/0002", "trial", 0.70, 12e9, decoder_depth=20)
    (directory / "sweep.json").write_text(json.dumps({"name": "study"}))
    return directory


def test_the_best_that_dominates_the_hand_designed_model(found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "promote", str(found)]) == 0
    path = tmp_path / "experiments/study-0001.yaml"
    text = path.read_text()
    assert text.startswith(
        "# Found by the sweep 'study' as trial 0001: SSIM 0.8200 at 8.00 G of the paper's FLOPs and 1,234"
    )
    cli = build(["--config", str(path)])
    assert cli.model.arch == MagnifierConfig(decoder_depth=12, bottleneck=8)
    assert cli.model.optim.lr == 0.002
    assert str(cli.options.dir) == "runs/study-0001"
    said = capsys.readouterr().out
    assert said.count("make train CONFIG=experiments/study-0001.yaml") == 3
    assert "--seed_everything 2 --data.seed 2 --run.dir runs/full/study-0001-seed2" in said
    assert said.count("make train CONFIG=experiments/proposed.yaml") == 3
    assert said.rstrip().endswith("lightning-mm report runs/full --compare true")


@pytest.mark.parametrize("name", ["0", "0000", "trial 0000"])
def test_a_chosen_one(found, tmp_path, name):
    path = promote(found, name, tmp_path / "mine.yaml")
    assert yaml.safe_load(path.read_text())["model"]["arch"]["decoder_depth"] == 50


def test_without_one_that_dominates_the_best_of_the_front(found, tmp_path):
    (found / "references/proposed/results.json").unlink()
    path = promote(found, None, tmp_path / "mine.yaml")
    assert "trial 0000" in path.read_text()


def test_what_cannot_be_promoted(found, tmp_path):
    with pytest.raises(InputError, match=r"trial 2: not on the Pareto front of .*; on it are trial 0001, trial 0000"):
        promote(found, "2", tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="trial 7: no such finished trial"):
        promote(found, "7", tmp_path / "mine.yaml")
    assert not (tmp_path / "mine.yaml").exists()


def test_no_file_is_overwritten(found, tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"output .*mine.yaml: exists"):
        promote(found, None, tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "mine"
