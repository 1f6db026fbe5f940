"""Anchoring: a planted relation between two sets is found, its interval covers, and what cannot anchor is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from lightning_mm.calibration.anchors import PAPER_SSIM, WIDTHS, anchor
from lightning_mm.cli import main
from lightning_mm.models import MagnifierConfig
from lightning_mm.reporting.threshold import Threshold
from tests.reporting.conftest import FakeSweep

# Ours where log(1 - SSIM) is linear in the paper's: 1 - ours = 1.3 (1 - paper)^0.8.
MIDDLE = {16: 0.955, 24: 0.966}


def ours(paper):
    return 1.0 - 1.3 * (1.0 - paper) ** 0.8


def variant(width, **changes):
    base = MagnifierConfig.baseline()
    return replace(base, encoder_channels=width, decoder_channels=2 * width, **changes)


@pytest.fixture
def fake(tmp_path):
    """Runs of each width, called w8 to w40."""
    return FakeSweep(tmp_path / "widths")


def train(fake, width, scores, **more):
    fake.seeds(f"w{width}", scores, role="run", arch=variant(width), **more)


def train_all(fake, seeds=3, noise=2e-4, widths=WIDTHS):
    rng = np.random.default_rng(0)
    for width in widths:
        known = (PAPER_SSIM | MIDDLE)[width]
        train(fake, width, [float(ours(known) + rng.normal(0, noise)) for _ in range(seeds)])


def test_a_relation_that_is_linear_in_the_logarithm_is_exact():
    found = anchor({width: [ours(ssim)] for width, ssim in (PAPER_SSIM | MIDDLE).items()}, 0.966, 100, 0)
    assert found.value == pytest.approx(ours(0.966), abs=1e-12)
    assert found.implied == pytest.approx(MIDDLE, abs=1e-12)
    assert (found.interval, found.spread, found.freedom) == (None, None, 0)


@pytest.mark.parametrize("paper", [0.932, 0.95, 0.971, 0.973, 0.9744])
def test_equal_sets_give_the_papers_own_number(paper):
    assert anchor({w: [s] for w, s in PAPER_SSIM.items()}, paper, 100, 0).value == pytest.approx(paper, abs=1e-12)


def test_the_interval_covers_as_often_as_it_says():
    """Two seeds of three widths: a bootstrap of seeds would cover about half of the time."""
    rng, covered, spread = np.random.default_rng(7), 0, 0.02
    truth = {w: -math.log(1.0 - ours(s)) for w, s in PAPER_SSIM.items()}
    for repeat in range(300):
        scores = {w: [1.0 - math.exp(-(u + spread * z)) for z in rng.standard_normal(2)] for w, u in truth.items()}
        low, high = anchor(scores, 0.966, 500, repeat).interval
        covered += low <= ours(0.966) <= high
    assert 273 <= covered <= 297  # 95 % of 300, three standard deviations of a binomial


def test_the_interval_is_the_t_interval_of_a_linear_combination():
    from scipy import stats

    scores = {8: [0.90, 0.902], 32: [0.95, 0.951], 40: [0.96, 0.9603]}
    found = anchor(scores, 0.966, 200_000, 3)
    u = {w: -np.log1p(-np.array(v)) for w, v in scores.items()}
    part = math.log(0.068 / 0.034) / math.log(0.068 / 0.029)
    middle = (1 - part) * u[8].mean() + part * u[32].mean()
    pooled = math.sqrt(sum(((v - v.mean()) ** 2).sum() for v in u.values()) / 3)
    half = stats.t.ppf(0.975, 3) * pooled * math.sqrt(((1 - part) ** 2 + part**2) / 2)
    expected = [1 - math.exp(-(middle + sign * half)) for sign in (-1, 1)]
    assert found.value == pytest.approx(1 - math.exp(-middle), abs=1e-12)
    assert found.interval == pytest.approx(expected, abs=1e-4)
    assert found.spread == pytest.approx(pooled)


def test_widths_that_noise_may_swap_leave_the_interval_open():
    scores = {8: [0.90, 0.95], 32: [0.93, 0.94], 40: [0.94, 0.95]}
    found = anchor(scores, 0.966, 1000, 0)
    assert found.disordered > 0.05
    assert found.interval == (None, None)


def test_the_command_writes_a_line_for_its_pairs(fake, tmp_path, capsys):
    train_all(fake)
    out = tmp_path / "threshold.json"
    assert main(["threshold", "anchor", str(fake.directory), f"--out={out}", "--draws=500"]) == 0
    said, err = capsys.readouterr()
    threshold, record = Threshold.read(out), json.loads(out.read_text())
    assert err == ""
    assert threshold.kind == "anchored"
    assert threshold.value == pytest.approx(ours(0.966), abs=5e-4)
    assert threshold.interval[0] < ours(0.966) < threshold.interval[1]
    assert threshold.validation["digest"] == "9c1e77b0a2f4"
    assert len(record["runs"]) == 15
    assert [row["width"] for row in record["widths"]] == list(WIDTHS)
    assert [row["paper_ssim"] for row in record["widths"]] == [0.9320, None, None, 0.971, 0.9744]
    assert record["widths"][1]["implied_paper_ssim"] == pytest.approx(0.955, abs=1e-3)
    assert record["spread"]["degrees_of_freedom"] == 10
    assert f"SSIM {threshold.value:.4f} on synthetic, 64 pairs" in said
    assert said.count("a check, not used") == 2
    assert main(["report", str(fake.directory), f"--threshold={out}"]) == 0
    assert f"≥ {threshold.text}" in capsys.readouterr().out


def test_directories_of_widths_may_lie_apart_and_none_counts_twice(fake, tmp_path, capsys):
    train_all(fake, seeds=1, widths=PAPER_SSIM)
    paths = [str(fake.directory / f"w{width}-seed0") for width in (40, 8, 32, 8)]
    assert main(["threshold", "anchor", *paths, f"--out={tmp_path / 't.json'}"]) == 0
    assert "no interval" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "t.json").read_text())["runs"]) == 3


def short(fake):
    for width, ssim in ((8, 0.90), (32, 0.9), (40, 0.91)):
        train(fake, width, [ssim])


def missing(fake):
    train_all(fake, widths=(8, 16, 40))


def narrow_decoder(fake):
    train_all(fake)
    fake.run("odd", 0.95, role="run", arch=replace(variant(16), decoder_channels=16))


def proposed(fake):
    train_all(fake)
    fake.run("proposed", 0.95, role="run")


def another_budget(fake):
    train_all(fake, widths=(8, 32))
    train(fake, 40, [0.97], steps=600)


def twice(fake):
    train_all(fake, seeds=1)
    fake.run("again/w8", ours(0.932), role="run", arch=variant(8), seed=0)


def no_ssim(fake):
    train_all(fake, widths=(8, 32))
    train(fake, 40, [None], absent={"ssim": "diverged"})


REFUSED = {
    short: "does not rise with width (0.9000 at 8, 0.9000 at 32)",
    missing: "no run of encoder width 32",
    narrow_decoder: "not the baseline at an encoder width of 8, 16, 24, 32, 40",
    proposed: "not the baseline at an encoder width",
    another_budget: "do not compare, they differ in steps: 300",
    twice: "width 8:",
    no_ssim: "has no SSIM (diverged)",
}


@pytest.mark.parametrize("prepare", REFUSED)
def test_what_cannot_anchor_is_refused(prepare, fake, tmp_path, capsys):
    prepare(fake)
    assert main(["threshold", "anchor", str(fake.directory), f"--out={tmp_path / 'out.json'}"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert REFUSED[prepare] in err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "RUN_DIR"),
        (["none"], "none: no such directory"),
        (["none", "--draws=5"], "--draws 5"),
        (["none", "--seed=-2"], "--seed -2"),
        (["none", "--draws=x"], "invalid int"),
        (["none", "--out=."], "--out .: is a directory"),
    ],
)
def test_wrong_arguments_are_refused(args, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["threshold", "anchor", *args]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert list(tmp_path.iterdir()) == []
