"""Scores of the validation sets against independent computations."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from lightning_mm.evaluation import sets
from lightning_mm.evaluation.pairs import Scorer, score

CPU = torch.device("cpu")


def to_255(image):
    return image.double().numpy() * 127.5 + 127.5


def test_scores_of_frame_b_are_those_of_scikit_image(small_set, copying):
    found = score(copying, sets.batches(small_set, CPU), Scorer("off"))["frame_b"]
    settings = {"data_range": 255.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    similarity, ratios = [], []
    for batch in sets.batches(small_set, CPU, batch_size=1):
        b, y = to_255(batch.frame_b[0]), to_255(batch.target[0])
        whole = structural_similarity(b, y, channel_axis=0, full=True, **settings)[1]
        similarity.append(whole[:, 5:-5, 5:-5].mean())
        ratios.append(min(100.0, 10 * np.log10(255.0**2 / np.mean((b - y) ** 2))))
    assert found["pairs"] == 6
    assert found["ssim"] == pytest.approx(np.mean(similarity), abs=1e-4)
    assert found["psnr"] == pytest.approx(np.mean(ratios), abs=1e-3)
    assert found["ssim_error"] == pytest.approx(np.std(similarity, ddof=1) / np.sqrt(6), abs=1e-4)


def test_the_oracle_is_perfect_and_a_copy_is_the_floor(small_set, copying):
    targets = iter([batch.target for batch in sets.batches(small_set, CPU)])
    methods = {**copying, "oracle": lambda a, b, alpha: next(targets)}
    found = score(methods, sets.batches(small_set, CPU), Scorer("off"))
    assert found["oracle"]["ssim"] == pytest.approx(1.0, abs=1e-6)
    assert found["oracle"]["psnr"] == 100.0
    assert found["copy"] == found["frame_b"]
    assert found["frame_b"]["ssim"] < 0.99


def test_batches_of_any_size_give_the_same_scores(small_set, copying):
    one, four = (score(copying, sets.batches(small_set, CPU, size), Scorer("off"))["frame_b"] for size in (1, 4))
    assert one == pytest.approx(four, rel=1e-6)


def test_outputs_are_clamped_before_they_are_scored(small_set):
    targets = [iter([batch.target for batch in sets.batches(small_set, CPU)]) for _ in range(2)]
    methods = {
        "inside": lambda a, b, alpha: torch.where(next(targets[0]) > 0, 1.0, -1.0),
        "outside": lambda a, b, alpha: torch.where(next(targets[1]) > 0, 7.0, -7.0),
    }
    found = score(methods, sets.batches(small_set, CPU), Scorer("off"))
    assert found["inside"] == found["outside"]


def test_a_single_pair_has_no_standard_error(copying):
    data = sets.validation_set(None, pairs=1, size=32)
    found = score(copying, sets.batches(data, CPU), Scorer("off"))["frame_b"]
    assert found["ssim_error"] is None


def test_absent_lpips_has_its_reason(monkeypatch):
    monkeypatch.setattr("lightning_mm.evaluation.pairs.load_lpips", lambda net: (None, "no network"))
    scorer = Scorer("squeeze")
    assert (scorer.lpips, scorer.absent) == ("off", {"lpips": "no network"})
    assert Scorer("off").absent == {"lpips": "not asked for"}


def test_the_fixed_sets_do_not_change():
    """Weights that ship carry metrics on these; a change to how scenes are drawn makes them another set."""
    identity = sets.validation_set(None).validation_identity()
    assert identity == {
        "name": "synthetic pairs, procedural textures",
        **{"pairs": 64, "height": 384, "width": 384, "digest": "0cb42cc64b42"},
    }
    other = sets.validation_set(None, size=64).validation_identity()
    assert other["digest"] != identity["digest"]
