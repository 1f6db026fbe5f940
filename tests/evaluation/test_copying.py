"""Detecting copies: scores by hand, and the two methods whose place is known."""

import numpy as np
import pytest
import torch

from lightning_mm.evaluation import copying
from lightning_mm.evaluation.copying import MOTIONS, copy_scores
from lightning_mm.evaluation.levels import Level, level_pairs
from lightning_mm.evaluation.methods import FRAME_B


def images(seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 8, 8, generator=generator) * 1.6 - 0.8


def test_scores_are_those_worked_out_in_numpy():
    output, b, y = (images(seed) for seed in range(3))
    found = copy_scores(output, b, y)
    for i in range(2):
        o_, b_, y_ = (127.5 * image[i].double().numpy().ravel() for image in (output, b, y))
        assert found["projection"][i].item() == pytest.approx((o_ - b_) @ (y_ - b_) / ((y_ - b_) @ (y_ - b_)))
        assert found["distance_b"][i].item() == pytest.approx(np.abs(o_ - b_).mean())
        assert found["distance_target"][i].item() == pytest.approx(np.abs(o_ - y_).mean())
        assert found["change"][i].item() == pytest.approx(np.sqrt(((y_ - b_) ** 2).mean()))


@pytest.mark.parametrize("way", [0.0, 0.25, 1.0, 1.3])
def test_the_projection_is_how_far_along_the_way_an_output_lies(way):
    b, y = 0.5 * images(0), 0.5 * images(1)
    assert copy_scores(b + way * (y - b), b, y)["projection"].tolist() == pytest.approx([way] * 2)


def test_what_has_nothing_to_do_with_the_motion_does_not_count():
    b, y = 0.5 * images(0), 0.5 * images(1)
    asked, other = (y - b).flatten(1), images(2).flatten(1)
    other = other - (other * asked).sum(1, keepdim=True) / asked.square().sum(1, keepdim=True) * asked
    assert copy_scores(b + 0.1 * other.view_as(b), b, y)["projection"].tolist() == pytest.approx([0.0] * 2, abs=1e-6)


def test_an_oracle_is_at_one_and_a_copy_at_zero(small_set, bench):
    sampler, bank = small_set.validation_scenes()
    answers = iter([p.target for motion in MOTIONS for p in level_pairs(Level(motion), sampler, bank, 3)])
    record = copying.run(bench({"oracle": lambda a, b, alpha: next(answers)}, small_set))
    means = {(row["method"], row["motion"]): row for row in record.tables["copying"]}
    for motion in (None, *MOTIONS):
        oracle, copied = means["oracle", motion], means[FRAME_B, motion]
        assert oracle["projection"] == pytest.approx(1.0)
        assert oracle["distance_target"] == pytest.approx(0.0)
        assert oracle["distance_ratio"] == pytest.approx(0.0)
        assert copied["projection"] == 0.0
        assert copied["distance_b"] == 0.0
        assert copied["distance_ratio"] is None
        assert copied["distance_target"] == pytest.approx(oracle["distance_b"])
    assert means["oracle", None]["pairs"] == 3 * len(MOTIONS)
    assert len(record.tables["copying_pairs"]) == 2 * 3 * len(MOTIONS)


def test_pairs_without_a_change_tell_nothing(small_set, bench, monkeypatch):
    monkeypatch.setattr(copying, "LEAST_CHANGE", 1e3)
    record = copying.run(bench({}, small_set))
    assert record.tables == {}
    assert "1000 grey levels" in record.left_out["everything"]
