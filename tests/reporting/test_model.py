"""Runs that differ in their seed alone: means and spreads against numbers worked out by hand."""

import statistics

import pytest

from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.scatter import scatter

SHALLOW = {"model.arch.decoder_depth": 4}


def models(fake):
    return {model.label: model for model in collect(fake.directory).models}


def test_seeds_of_trials_and_references_are_one_model(fake):
    fake.seeds("trials/0003", [0.90, 0.94, 0.92], overrides=SHALLOW)
    fake.seeds("references/proposed", [0.91, 0.93], role="reference")
    found = models(fake)
    assert found.keys() == {"trial 0003", "proposed"}
    trial = found["trial 0003"]
    assert trial.seeds == [0, 1, 2]
    assert trial.ssim == pytest.approx(0.92)
    assert trial.sd("ssim") == pytest.approx(statistics.stdev([0.90, 0.94, 0.92]))
    assert trial.text("ssim", 4) == "0.9200 ± 0.0200"
    assert found["proposed"].is_hand_designed


def test_one_seed_has_a_number_and_no_spread(fake):
    fake.trial(1, 0.9, decoder_depth=4)
    (model,) = models(fake).values()
    assert model.text("ssim", 4) == "0.9000"
    assert model.sd("ssim") is None


def test_front_and_differences_are_those_of_the_means(fake):
    fake.seeds("trials/0000", [0.90, 0.98], overrides=SHALLOW)  # mean 0.94
    fake.seeds("trials/0001", [0.95, 0.95], overrides={"model.arch.decoder_depth": 3})
    fake.seeds("references/proposed", [0.91, 0.93], role="reference")
    sweep = collect(fake.directory)
    assert [model.label for model in sweep.models] == ["trial 0001", "trial 0000", "proposed"]
    assert [[m.label for m in front] for front in sweep.fronts()] == [["trial 0001"]]
    found = {model.label: model for model in sweep.models}
    assert sweep.difference(found["trial 0000"]) == pytest.approx(0.02)
    assert sweep.difference(found["proposed"]) is None


def test_error_bars_are_the_standard_deviations_of_those_with_several_seeds(fake):
    fake.seeds("trials/0000", [0.90, 0.94], overrides=SHALLOW)
    fake.trial(1, 0.91, decoder_depth=6)
    figure = scatter(collect(fake.directory))
    points = next(trace for trace in figure.data if trace.name == "bottleneck 1/4")
    assert list(points.y) == pytest.approx([0.92, 0.91])
    assert points.error_y.array[0] == pytest.approx(0.04 / 2**0.5)
    assert points.error_y.array[1] is None


def test_without_several_seeds_there_are_no_bars_and_no_column(sweep_dir):
    sweep = collect(sweep_dir)
    assert all(trace.error_y.array is None for trace in scatter(sweep).data)
    html = page(sweep)
    assert "±" not in html.split("<body>")[1].replace("0.966 ±", "").split('<section id="all">')[1].split("<script")[0]
    assert ">seeds<" not in html


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": 600, "samples": 4800},
        {"config": {"data": {"shot_noise": 0.1}}},
        {"config": {"model": {"loss": {"ssim": 0.0}}}},
        {"config": {"run": {"ema_decay": 0.0}}},
        {"config": {"trainer": {"gradient_clip_val": 1.0}}},
        {"role": "run"},
    ],
)
def test_what_differs_in_more_than_its_seed_is_another_model(fake, changed):
    fake.run("a", 0.9, **{"role": "reference", "seed": 0, **changed})
    fake.run("b", 0.8, role="reference", seed=1)
    assert len(models(fake)) == 2


def test_what_changes_no_result_makes_no_other_model(fake):
    for seed, where in ((0, "a"), (1, "b")):
        config = {
            "seed_everything": seed,
            "data": {"seed": seed, "num_workers": seed, "size": 96},
            "run": {"dir": where, "wandb": "off", "ema_decay": 0.9},
            "trainer": {"devices": seed, "gradient_clip_val": 1.0},
        }
        fake.run(where, 0.9, role="run", seed=seed, config=config)
    (model,) = models(fake).values()
    assert model.seeds == [0, 1]
    assert model.label == "a and 1 more"


def test_a_repetition_is_no_second_seed(fake):
    fake.run("once/x-seed0", 0.9, role="run", seed=0)
    fake.run("once/x-seed1", 0.8, role="run", seed=1)
    fake.run("again/x-seed0", 0.7, role="run", seed=0)
    assert sorted(model.seeds for model in collect(fake.directory).models) == [[0], [0, 1]]
    assert len(models(fake)) == 2


def test_two_trials_of_equal_values_are_two(fake):
    fake.run("trials/0000", 0.9, overrides=SHALLOW, seed=0)
    fake.run("trials/0001", 0.8, overrides=SHALLOW, seed=1)
    assert models(fake).keys() == {"trial 0000", "trial 0001"}
