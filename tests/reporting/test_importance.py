"""Importances where the truth is known, and why there are none."""

import random

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.importance import importances

SPACE = {"model.a": FloatDistribution(0.0, 1.0), "model.b": CategoricalDistribution(("x", "y", "z"))}


@pytest.fixture
def search(fake):
    """Writes a search of so many trials, whose SSIM is a function of (a, b)."""
    fake.run("references/proposed", 0.9, role="reference")

    def write(count, ssim, space=SPACE, state="complete"):
        rng = random.Random(0)
        trials = []
        for number in range(count):
            params = {"model.a": rng.random(), "model.b": rng.choice("xyz")}
            value = ssim(params["model.a"], params["model.b"])
            trials.append({"number": number, "run": f"trials/{number}", "state": state, "params": params})
            trials[-1]["values"] = [value, 1.0] if state == "complete" else None
        told = {key: distribution_to_json(distribution) for key, distribution in space.items()}
        fake.sweep_file(objectives=["ssim", "flops"], space=told, trials=trials)
        return collect(fake.directory)

    return write


def test_what_decides_ssim_is_found(search):
    shares = importances(search(200, lambda a, b: 0.9 + 0.05 * a))
    assert next(iter(shares)) == "model.a"
    assert shares["model.a"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)


def test_high_ssim_is_what_counts_and_not_low(search):
    # Below 0.9 all depends on b, above it on a alone.
    shares = importances(
        search(300, lambda a, b: 0.9 + 0.05 * (a - 0.6) if a > 0.6 else {"x": 0.1, "y": 0.2, "z": 0.3}[b])
    )
    assert shares["model.a"] > 0.8


def test_from_ten_complete_trials_on(search):
    assert importances(search(9, lambda a, b: a)).endswith("there are 9.")
    assert isinstance(importances(search(10, lambda a, b: a)), dict)


def test_trials_that_are_not_complete_do_not_count(search):
    assert importances(search(50, lambda a, b: a, state="pruned")).endswith("there are 0.")


def test_equal_ssim_everywhere_says_nothing(search):
    assert "same SSIM" in importances(search(20, lambda a, b: 0.5))


def test_without_a_space_it_is_said(search):
    assert "no search space is recorded" in importances(search(20, lambda a, b: a, space={}))


@pytest.mark.parametrize("text", ['{"name": "Nothing"}', "no JSON", distribution_to_json(FloatDistribution(5.0, 6.0))])
def test_a_space_that_does_not_fit_is_said(search, text):
    sweep = search(20, lambda a, b: a)
    sweep.space["model.a"] = text
    assert "trials and search space do not fit" in importances(sweep)


def test_the_page_has_a_bar_for_each_or_the_reason(search):
    html = page(search(20, lambda a, b: a))
    assert '<div id="importance"' in html
    assert "That is 2 trials, so this is a rough guess." in html
    html = page(search(5, lambda a, b: a))
    assert '<div id="importance"' not in html
    assert "from 10 complete trials on; there are 5." in html
