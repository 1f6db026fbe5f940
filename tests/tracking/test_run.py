"""W&B runs as their files say they are: ids, labels, figures, and how they end. Nothing is mocked but a loss."""

import os
import random
import time

import pytest
import torch
import yaml
from lightning import seed_everything

from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import Results
from lightning_mm.tracking.run import run_id, summary
from lightning_mm.training import fit

FLOORS = [f"{floor}_{name}" for floor in ("frame_b", "linear_eulerian") for name in ("ssim", "psnr")]


@pytest.fixture(scope="module")
def runs(study, offline_runs):
    """The one W&B run of each directory."""
    found = {name: offline_runs(study / name) for name in ("first", "diverged", "second")}
    assert [len(parts) for parts in found.values()] == [1, 1, 1]
    return {name: parts[0] for name, parts in found.items()}


def test_runs_of_one_process_are_different_runs(runs, study):
    assert len({run.id for run in runs.values()}) == 3
    for name, run in runs.items():
        assert (study / name / "wandb_run_id").read_text().strip() == run.id


def test_labels(runs):
    for name, job_type in (("first", "search"), ("diverged", "search"), ("second", "reference")):
        run = runs[name]
        assert (run.name, run.project) == (name, "lightning_mm")
        assert (run.group, run.job_type, run.tags) == ("depths", job_type, ["tiny", "cpu"])


@pytest.mark.parametrize(("name", "depth"), [("first", 1), ("second", 2)])
def test_the_summary_holds_what_a_trade_off_needs(name, depth, runs, study):
    told, results = runs[name].summary, Results.read(study / name)
    expected = cost(MagnifierConfig(encoder_channels=2, decoder_depth=depth, decoder_channels=4))
    assert (told["params"], told["macs"]) == (expected.params, expected.macs)
    assert told["paper_gflops"] == pytest.approx(expected.paper_flops / 1e9)
    assert told["latency_ms"] == results.latency["ms"] > 0.0
    assert (told["samples"], told["steps"]) == (8, 4)
    assert told["train_seconds"] == results.budget["train_seconds"] > 0.0
    assert {key: told[key] for key in ("ssim", "psnr")} == {key: results.metrics[key] for key in ("ssim", "psnr")}
    assert "lpips" not in told  # not asked for
    for floor in FLOORS:
        method, metric = floor.rsplit("_", 1)
        assert told[floor] == results.floors[method][metric]


def test_lpips_is_in_the_summary_where_it_was_measured(study):
    results = Results.read(study / "first")
    results.metrics["lpips"] = 0.25
    results.floors["frame_b"]["lpips"] = 0.5
    assert (summary(results)["lpips"], summary(results)["frame_b_lpips"]) == (0.25, 0.5)


def test_the_configuration_is_the_run_directorys(runs, study):
    for name, run in runs.items():  # of the one that diverged, too
        saved = yaml.safe_load((study / name / "config.yaml").read_text())
        assert {key: run.config[key]["value"] for key in saved} == saved
        assert run.config.keys() - {"_wandb"} == saved.keys()


def test_metrics_have_the_step_of_training_and_never_go_back(runs):
    rows = runs["first"].history
    steps = [row["trainer/global_step"] for row in rows]
    assert steps == sorted(set(steps)) == [row["_step"] for row in rows]
    assert [row["trainer/global_step"] for row in rows if "train/loss" in row] == [0, 1, 2, 3]
    assert [row["trainer/global_step"] for row in rows if "val/ssim" in row] == [1, 3]  # each epoch's end


def test_the_best_validation_is_in_the_summary(runs):
    for name in ("first", "second"):
        values = [row["val/ssim"] for row in runs[name].history if "val/ssim" in row]
        assert runs[name].summary["val/ssim"] == {"max": max(values)}


def test_the_picture_of_validation_pairs_is_logged(runs, study):
    told = runs["first"].summary["val/samples"]
    (name,) = told["filenames"]
    (logged,) = (study / "first").glob(f"wandb/offline-run-*/files/{name}")
    assert logged.read_bytes() == (study / "first/samples.png").read_bytes()


def test_runs_end_and_say_how(runs):
    assert {name: run.exit_code for name, run in runs.items()} == {"first": 0, "diverged": 1, "second": 0}
    assert "ssim" not in runs["diverged"].summary


def test_a_run_that_continues_is_the_same_run(tiny, offline_runs, tmp_path, capfd):
    run_dir = tmp_path / "longer"
    args = [*tiny, f"--run.dir={run_dir}"]
    fit([*args, "--trainer.max_epochs=1"])
    time.sleep(1)  # W&B names the files of a start by its second
    fit(args)
    before, after = offline_runs(run_dir)
    assert before.id == after.id
    for run, steps in ((before, [0, 1]), (after, [2, 3])):  # W&B's own number of a row, which uploading goes by
        assert [row["_step"] for row in run.history if "train/loss" in row] == steps
    assert (before.config["trainer"]["value"]["max_epochs"], after.config["trainer"]["value"]["max_epochs"]) == (1, 2)
    assert after.summary["steps"] == 4
    fit(args)  # is finished: no run is begun for it
    assert len(offline_runs(run_dir)) == 2
    assert capfd.readouterr() == ("", "")


def test_offline_runs_leave_the_mode_alone_and_send_no_error_reports(study):
    assert "WANDB_MODE" not in os.environ
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"


def test_ids_do_not_come_from_the_seed_of_a_training(tmp_path):
    found = []
    for name in ("a", "b"):
        seed_everything(3, verbose=False)
        python, pytorch = random.getstate(), torch.get_rng_state()
        (tmp_path / name).mkdir()
        found.append(run_id(tmp_path / name))
        assert random.getstate() == python  # nor do they change what a training draws
        assert torch.equal(torch.get_rng_state(), pytorch)
        assert run_id(tmp_path / name) == found[-1]
    assert found[0] != found[1]


@pytest.mark.parametrize("text", ["", "two words", "../up", "x" * 65])
def test_a_file_that_holds_no_id_is_refused(text, tmp_path):
    (tmp_path / "wandb_run_id").write_text(text)
    with pytest.raises(InputError, match=f"{tmp_path}/wandb_run_id: holds .* no id of a W&B run"):
        run_id(tmp_path)
