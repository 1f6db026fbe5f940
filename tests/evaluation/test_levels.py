"""Subpixel and noise tests: that scenes move and are disturbed as the levels say."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.utils.data import default_collate

from lightning_mm.data.rendering import displaced, render_clean
from lightning_mm.evaluation import levels, noise, subpixel
from lightning_mm.evaluation.levels import Level, curve, level_pairs, moved_by

SIZE = 48


@pytest.fixture(scope="module")
def scenes_and_bank(small_set):
    return small_set.validation_scenes()


def batch(sampler, count=6):
    return default_collate([sampler(index) for index in range(count)])


def test_levels_are_the_published_ones():
    motions = [level.motion for level in levels.subpixel_levels()]
    assert np.round(motions, 2).tolist() == [
        *(0.04, 0.05, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.79, 1.0),
    ]
    wide = [level.motion for level in levels.subpixel_levels("wide")]
    assert (len(wide), wide[0], wide[-1]) == (21, pytest.approx(0.01), pytest.approx(1.0))
    assert np.diff(np.log10(wide)) == pytest.approx([0.1] * 20)
    noisy = levels.noise_levels(0.05)
    assert (len(noisy), noisy[0].noise, noisy[-1].noise) == (21, pytest.approx(0.01), pytest.approx(100.0))
    assert noisy[6].noise == pytest.approx(0.158, abs=5e-4)
    assert [level.alpha for level in noisy] == pytest.approx([200.0] * 21)
    assert next(level.alpha for level in levels.noise_levels(5.0)) == pytest.approx(2.0)


@pytest.mark.parametrize("motion", [0.04, 1.0, 5.0])
def test_every_layer_moves_by_the_level(scenes_and_bank, motion):
    sampler, _ = scenes_and_bank
    scenes = moved_by(batch(sampler), Level(motion))
    count, layers = scenes["texture"].shape
    layer = torch.arange(count * layers)
    pixel = torch.randint(0, SIZE, (count * layers, 2), generator=torch.Generator().manual_seed(0))
    at = {lam: displaced(scenes, pixel, layer, torch.full((count,), lam)) for lam in (0.0, 1.0)}
    moved = (at[0.0] - at[1.0]).double()
    np.testing.assert_allclose(moved.norm(dim=1), motion, rtol=0, atol=1e-5)
    target = (at[0.0] - displaced(scenes, pixel, layer, scenes["alpha"])).double()
    np.testing.assert_allclose(target.norm(dim=1), 10.0, rtol=1e-4)
    directions = torch.atan2(moved[:, 0], moved[:, 1])
    assert directions.std() > math.pi / 3, "directions of their own"


def test_in_the_noise_test_the_background_stays(scenes_and_bank):
    sampler, _ = scenes_and_bank
    assert all(level.still_background for level in levels.noise_levels(5.0))
    assert not any(level.still_background for level in levels.subpixel_levels())
    shift = moved_by(batch(sampler), levels.noise_levels(5.0)[3])["shift"]
    assert not shift[:, 0].any()
    np.testing.assert_allclose(shift[:, 1:].norm(dim=-1), 5.0, rtol=1e-6)


def test_frame_b_has_the_colours_of_frame_a(scenes_and_bank):
    sampler, bank = scenes_and_bank
    clean = render_clean(moved_by(batch(sampler), Level(0.5)), bank, SIZE)
    assert torch.equal(clean.frame_b, clean.frame_c)


@pytest.mark.parametrize("factor", [0.1, 0.5])
def test_noise_has_the_stated_deviation_and_the_target_has_none(scenes_and_bank, factor):
    sampler, bank = scenes_and_bank
    clean = render_clean(moved_by(batch(sampler), Level(5.0, factor)), bank, SIZE)
    (pairs,) = level_pairs(Level(5.0, factor), sampler, bank, 6, batch_size=6)
    assert torch.equal(pairs.target, clean.target)
    for noisy, exact in ((pairs.frame_a, clean.frame_a), (pairs.frame_b, clean.frame_b)):
        intensity, change = (exact.double() + 1) * 127.5, (noisy - exact).double() * 127.5
        inside = (intensity > 60) & (intensity < 200)  # where nothing is cut off at black or white
        rounding = 1 / 6  # variance of stochastic rounding, averaged over fractions
        scaled = change[inside] / torch.sqrt(factor**2 * intensity[inside] + rounding)
        assert scaled.std().item() == pytest.approx(1.0, abs=0.03)
        assert abs(scaled.mean().item()) < 0.03
        level = (noisy.double() + 1) * 127.5
        assert (level - level.round()).abs().max() < 1e-4, "8 bits"


@pytest.mark.parametrize("test", ["subpixel", "noise"])
def test_the_oracle_is_one_at_every_level_and_a_copy_is_the_floor(scenes_and_bank, copying, test):
    sampler, bank = scenes_and_bank
    points = levels.subpixel_levels("wide")[::5] if test == "subpixel" else levels.noise_levels(5.0)[::5]
    batches = {level: list(level_pairs(level, sampler, bank, 3, 2)) for level in points}
    answers = iter([pairs.target for level in points for pairs in batches[level]])
    methods = {**copying, "oracle": lambda a, b, alpha: next(answers)}
    rows = curve(methods, points, sampler, bank, samples=3, batch_size=2)
    by = {(row["method"], row["motion"], row["noise"]): row["ssim"] for row in rows}
    for level in points:
        assert by["oracle", level.motion, level.noise] == pytest.approx(1.0, abs=1e-6)
        copied = by["frame_b", level.motion, level.noise]
        assert by["copy", level.motion, level.noise] == copied < 0.98
        pairs = [(b, y) for batch in batches[level] for b, y in zip(batch.frame_b, batch.target, strict=True)]
        assert copied == pytest.approx(np.mean([reference_ssim(b, y) for b, y in pairs]), abs=1e-4)
    assert {row["samples"] for row in rows} == {3}
    assert [row["alpha"] for row in rows][::3] == pytest.approx([level.alpha for level in points])


def reference_ssim(image, target, border=0):
    """By scikit-image."""
    inner = slice(border, SIZE - border)
    x, y = (127.5 * (one[:, inner, inner].double().numpy() + 1.0) for one in (image, target))
    settings = {"data_range": 255.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(x, y, channel_axis=0, full=True, **settings)[1][:, 5:-5, 5:-5].mean()


def test_a_border_is_left_out(scenes_and_bank, copying):
    sampler, bank = scenes_and_bank
    level = Level(0.5)
    (row, _) = curve(copying, [level], sampler, bank, samples=1, border=8)
    (pairs,) = level_pairs(level, sampler, bank, 1)
    inner = reference_ssim(pairs.frame_b[0], pairs.target[0], border=8)
    assert row["ssim"] == pytest.approx(inner, abs=1e-4)
    assert abs(inner - reference_ssim(pairs.frame_b[0], pairs.target[0])) > 1e-3


def test_the_protocols_say_what_they_did(small_set, bench):
    record = subpixel.run(bench({"copy": lambda a, b, alpha: b}, small_set, samples=1, grid="wide", border=3))
    assert len(record.tables["subpixel"]) == 2 * 21
    assert (record.settings["grid"], record.settings["border_left_out_px"]) == ("wide", 3)
    assert record.summary["copy"] == {
        "mean_ssim": pytest.approx(np.mean([row["ssim"] for row in record.tables["subpixel"]])),
        "levels_above_frame_b": 0,
    }
    assert record.about.endswith("SSIM leaves out 3 px at each side.")
    shown = noise.run(bench({}, small_set, samples=1))
    assert "leaves out" not in shown.about
    assert record.shown[0].columns[1:] == ("motion 0.01 px", "motion 0.1 px", "motion 1 px")
    assert shown.shown[0].columns[1:] == ("noise 0.01", "noise 1", "noise 100")
    assert {name: len(rows) for name, rows in shown.tables.items()} == {"noise_0.05px": 21, "noise_5px": 21}


def test_two_evaluations_are_equal(scenes_and_bank, copying):
    sampler, bank = scenes_and_bank
    first, second = (curve(copying, [Level(0.05, 1.0)], sampler, bank, samples=2) for _ in range(2))
    assert first == second
