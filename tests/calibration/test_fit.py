"""Calibration: planted curves are found again, intervals cover, ambiguous or damaged input is refused by line."""

import json
from fractions import Fraction

import numpy as np
import pytest

from lightning_mm.calibration.bootstrap import bootstrap
from lightning_mm.calibration.calibrate import calibrate
from lightning_mm.calibration.quadratic import NoCrossingError, Quadratic, crossings
from lightning_mm.calibration.ratings import read_ratings
from lightning_mm.cli import main
from lightning_mm.reporting.threshold import Threshold

SSIM = (0.932, 0.951, 0.962, 0.971, 0.9744)


def planted(ssim):
    """A score that rises from 1.2 to 4.1 over ``SSIM``; 3 at its exact root."""
    z = (ssim - 0.932) / 0.0424
    return 1.2 + 1.5 * z + 1.4 * z**2


ROOT = 0.932 + 0.0424 * (-1.5 + (1.5**2 + 4 * 1.4 * 1.8) ** 0.5) / 2.8


def write(path, rng, raters=20, samples=10, noise=0.5, leniency=0.3, curve=planted, ssim=SSIM):
    """Ratings with noise of their own and an offset for each rater; without noise, exactly the curve."""
    offsets = rng.normal(0.0, leniency, raters) if leniency else np.zeros(raters)
    lines = ["rater,sample,model,ssim,score"]
    for r in range(raters):
        for s in range(samples):
            for i, value in enumerate(ssim):
                score = curve(value) + offsets[r] + (rng.normal(0.0, noise) if noise else 0.0)
                lines.append(f"p{r},clip{s},{'ABCDE'[i]},{value},{float(np.clip(score, 0, 5))!r}")
    path.write_text("\n".join(lines) + "\n")
    return path


def exact_fit(xs, ys):
    """Least squares by the normal equations in rational numbers, solved by Cramer's rule: coefficients of 1, x, x^2."""
    xs, ys = [Fraction(x) for x in xs], [Fraction(y) for y in ys]
    sums = [sum(x**k for x in xs) for k in range(5)]
    right = [sum(y * x**k for x, y in zip(xs, ys, strict=True)) for k in range(3)]
    matrix = [[sums[i + j] for j in range(3)] for i in range(3)]

    def det(m):
        (a, b, c), (d, e, f), (g, h, i) = m
        return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)

    columns = [[[right[i] if j == k else matrix[i][j] for j in range(3)] for i in range(3)] for k in range(3)]
    return [float(det(column) / det(matrix)) for column in columns]


def test_the_curve_is_that_of_rational_arithmetic():
    rng = np.random.default_rng(0)
    scores = np.array([planted(s) for s in SSIM]) + rng.normal(0, 0.2, 5)
    curve = Quadratic.fit(np.array(SSIM), scores)
    expected = exact_fit(SSIM, scores.tolist())
    assert curve.coefficients == pytest.approx(expected, rel=1e-8)
    c, b, a = expected
    assert curve(np.array(SSIM)) == pytest.approx([c + b * s + a * s * s for s in SSIM], abs=1e-7)
    root = (-b + (b * b - 4 * a * (c - 3.0)) ** 0.5) / (2 * a)
    assert curve.crossing(3.0) == pytest.approx(root, abs=1e-7)


def test_without_noise_the_root_is_exact_and_the_interval_is_a_point(tmp_path):
    path = write(tmp_path / "scores.csv", np.random.default_rng(0), raters=3, samples=2, noise=0, leniency=0)
    found = calibrate(path, 3.0, 100, 0, None)
    assert found.value == pytest.approx(ROOT, abs=1e-9)
    assert found.bootstrap.interval == pytest.approx((ROOT, ROOT), abs=1e-9)
    assert found.freedom == 2
    assert found.residual == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("over", ["raters", "both"])
def test_the_interval_covers_the_truth_most_of_the_time(over, tmp_path):
    covered, widths = 0, []
    for repeat in range(40):
        path = write(tmp_path / "scores.csv", np.random.default_rng(repeat), samples=4)
        found = calibrate(path, 3.0, 400, repeat, over)
        low, high = found.bootstrap.interval
        covered += low <= ROOT <= high
        widths.append(high - low)
        assert low <= found.value <= high
    assert covered >= 33  # at a true coverage of 92 %, fewer come once in 100 such tests
    assert 0.0 < np.mean(widths) < 0.01


def test_the_spread_of_raters_is_that_of_an_independent_resampling(tmp_path):
    path = write(tmp_path / "scores.csv", np.random.default_rng(5), raters=8, samples=3)
    ratings = read_ratings(path)
    found = bootstrap(ratings, 3.0, 4000, 1)
    rng, roots = np.random.default_rng(99), []
    for _ in range(2000):
        means = ratings.scores[rng.integers(8, size=8)].mean((0, 1))
        c, b, a = np.polynomial.Polynomial.fit(SSIM, means, 2).convert(domain=[-1, 1]).coef
        roots.append((-b + np.sqrt(b * b - 4 * a * (c - 3.0))) / (2 * a))
    assert found.interval == pytest.approx(np.percentile(roots, (2.5, 97.5)), abs=4e-4)
    assert found.unit == "8 raters"


def test_both_units_widen_what_one_gives(tmp_path):
    """Offsets of clips and of raters: drawing both must see both."""
    rng, lines = np.random.default_rng(2), ["score,model,ssim,sample,rater"]
    clips, people = rng.normal(0, 0.2, 6), rng.normal(0, 0.2, 6)
    for r in range(6):
        for s in range(6):
            lines += [f"{planted(v) + clips[s] + people[r]:.6f},{v},{v},{s},{r}" for v in SSIM]
    (tmp_path / "scores.csv").write_text("\n".join(lines))
    ratings = read_ratings(tmp_path / "scores.csv")
    variances = {}
    for over in ("raters", "samples", "both"):
        low, high = bootstrap(ratings, 3.0, 2000, 0, over).means
        variances[over] = ((high - low) ** 2).mean()
    assert variances["both"] == pytest.approx(variances["raters"] + variances["samples"], rel=0.15)


def test_draws_repeat_with_their_seed_and_differ_without(tmp_path):
    ratings = read_ratings(write(tmp_path / "scores.csv", np.random.default_rng(0)))
    first, again, other = (bootstrap(ratings, 3.0, 200, seed).interval for seed in (1, 1, 2))
    assert first == again != other


def test_pairs_alone_are_drawn_themselves(tmp_path, capsys):
    rng = np.random.default_rng(3)
    ssim = np.linspace(0.93, 0.975, 30)
    scores = planted(ssim) + rng.normal(0, 0.1, 30)
    (tmp_path / "pairs.csv").write_text(
        "ssim,score\n" + "".join(f"{x},{y}\n" for x, y in zip(ssim, scores, strict=True))
    )
    assert main(["threshold", "fit", str(tmp_path / "pairs.csv"), f"--out={tmp_path}", "--draws=500"]) == 0
    assert "500 bootstrap draws of 30 pairs" in capsys.readouterr().out
    found = json.loads((tmp_path / "threshold.json").read_text())
    low, high = found["interval"]
    assert low < ROOT < high
    assert high - low < 0.004
    assert found["raters"] is None


def test_a_draw_beyond_what_was_observed_leaves_the_interval_open(tmp_path):
    def low_curve(ssim):
        return planted(ssim) - 1.0  # reaches 3.1 at the end, so that many draws do not reach 3

    path = write(tmp_path / "scores.csv", np.random.default_rng(1), raters=5, curve=low_curve)
    found = calibrate(path, 3.0, 500, 0, None)
    assert found.bootstrap.interval[1] is None
    assert found.bootstrap.interval[0] < found.value
    assert found.bootstrap.above > 12
    assert "above it" in found.lines()[-1]


@pytest.mark.parametrize(
    "scaled", [(0.3, 1.2, 0.8), (0.3, 1.2, -0.8), (0.1, -0.4, 1.0), (1.0, 2.0, 0.0), (0.5, 1.0, 1e-14)]
)
@pytest.mark.parametrize("score", [0.2, 0.4, 1.0])
def test_roots_are_those_of_the_companion_matrix(scaled, score):
    c, b, a = scaled
    rising, falling = crossings(np.array([scaled]), score)[:, 0]
    roots = [r.real for r in np.roots([a, b, c - score]) if abs(r.imag) < 1e-9]
    for name, value, sign in (("rising", rising, 1), ("falling", falling, -1)):
        expected = [r for r in roots if sign * (2 * a * r + b) > 1e-9 and abs(r) < 1e6]
        if expected:
            assert value == pytest.approx(expected[0], rel=1e-9), name
        else:
            assert np.isnan(value) or abs(value) > 1e6, name


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([1.0, 1.5, 2.0, 2.2, 2.5], "lies below score 3"),
        ([3.5, 3.8, 4.0, 4.1, 4.5], "lies above score 3"),
        ([4.0, 3.5, 3.1, 2.5, 2.0], "only where it falls"),
        ([2.0, 3.8, 4.0, 3.2, 2.0], "ambiguous"),
    ],
)
def test_a_curve_without_one_crossing_is_refused_with_the_reason(scores, said):
    with pytest.raises(NoCrossingError, match=said):
        Quadratic.fit(np.linspace(0.93, 0.97, 5), np.array(scores)).crossing(3.0)


HEADER = "rater,sample,model,ssim,score\n"
GOOD = "a,1,A,0.93,1\na,1,B,0.95,2\na,1,C,0.97,4\n"
BAD = {
    "no such file": (None, "scores.csv: cannot be read"),
    "empty": ("", "columns are nothing"),
    "other columns": ("rater,model,ssim,score\n", "columns are rater, model, ssim, score"),
    "not a number": (HEADER + GOOD + "b,1,A,0.93,three\n", "line 5: score = 'three'"),
    "nan": (HEADER + GOOD + "b,1,A,0.93,nan\n", "line 5: score = 'nan'"),
    "score above 5": (HEADER + "a,1,A,0.93,5.5\n" + GOOD, "line 2: score = '5.5': must be a number from 0 to 5"),
    "score below 0": (HEADER + GOOD + "\nb,1,A,0.93,-1\n", "line 6: score = '-1'"),
    "ssim above 1": (HEADER + GOOD + "b,1,D,93,2\n", "line 5: ssim = '93'"),
    "too few cells": (HEADER + GOOD + "b,1,A,0.93\n", "line 5: 4 cells: must be 5"),
    "no rater": (HEADER + GOOD + ",1,A,0.93,2\n", "line 5: rater is empty"),
    "two values of ssim": (HEADER + GOOD + "b,1,A,0.94,2\n", "line 5: model A has ssim 0.94, but 0.93 on line 2"),
    "twice": (HEADER + GOOD + "a,1,B,0.95,3\n", "line 5: rater a, sample 1, model B is on line 3 already"),
    "two models": (HEADER + "a,1,A,0.93,1\na,1,B,0.95,4\n", "2 models: a quadratic needs at least 3"),
    "one ssim": (HEADER + "a,1,A,0.9,1\na,1,B,0.9,2\na,1,C,0.9,4\n", "one value of ssim in 3 models"),
    "two ssim": ("ssim,score\n0.9,1\n0.9,2\n0.95,4\n", "2 values of ssim in 3 pairs"),
    "no crossing": (HEADER + GOOD.replace(",4\n", ",2.5\n"), "lies below score 3"),
    "a stray quote": (HEADER + GOOD + 'b,1,"A"x,0.93,2\n', "line 5: not CSV"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_ratings_are_refused_by_line(name, tmp_path, capsys):
    text, said = BAD[name]
    if text is not None:
        (tmp_path / "scores.csv").write_text(text)
    assert main(["threshold", "fit", str(tmp_path / "scores.csv"), f"--out={tmp_path / 'out'}"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--score=6", "--score 6: must be from 0 to 5"),
        ("--draws=10", "--draws 10: must be >= 100"),
        ("--seed=-1", "--seed -1"),
        ("--over=samples", "one of the samples"),
        ("--over=models", "over"),
        ("--validation=", "--validation is empty"),
        ("--out=scores.csv", "--out scores.csv: is a file"),
    ],
)
def test_wrong_options_are_refused(option, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text(HEADER + GOOD + GOOD.replace("a,", "b,"))
    assert main(["threshold", "fit", "scores.csv", option]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_the_command_writes_a_line_that_reports_read_and_a_page(tmp_path, capsys):
    path = write(tmp_path / "scores.csv", np.random.default_rng(4), raters=6, samples=2)
    args = ["threshold", "fit", str(path), f"--out={tmp_path / 'out'}", "--draws=200", "--validation=0123456789ab"]
    assert main(args) == 0
    out = capsys.readouterr().out
    threshold = Threshold.read(tmp_path / "out/threshold.json")
    record = json.loads((tmp_path / "out/threshold.json").read_text())
    assert f"SSIM {threshold.value:.4f} at score 3, 95 % interval {threshold.interval[0]:.4f} to" in out
    assert "200 bootstrap draws of 6 raters" in out
    assert "degrees of freedom 2" in out
    assert (threshold.kind, threshold.validation) == ("calibrated", {"digest": "0123456789ab"})
    assert record["settings"] == {"score": 3.0, "draws": 200, "seed": 0, "over": None}
    assert [model["ratings"] for model in record["models"]] == [12] * 5
    c, b, a = record["polynomial"]
    assert f"score = {c:.6g} - {-b:.6g} SSIM + {a:.6g} SSIM^2" in out
    assert c + b * threshold.value + a * threshold.value**2 == pytest.approx(3.0, abs=1e-6)
    html = (tmp_path / "out/threshold.html").read_text()
    assert f"SSIM {threshold.value:.4f} at score 3" in html
    assert "* plotly.js v" in html


def test_one_rating_of_each_model_has_no_interval(tmp_path, capsys):
    (tmp_path / "scores.csv").write_text(HEADER + GOOD)
    assert main(["threshold", "fit", str(tmp_path / "scores.csv"), f"--out={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "no interval: one rater and one sample" in out
    assert "goes through every point" in out
    assert Threshold.read(tmp_path / "threshold.json").interval is None
