"""Linearity test: the tracker against rendered motion, and methods whose displacement is known."""

import numpy as np
import pytest
import torch

from lightning_mm.data.rendering import render_clean
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.levels import Level, collated, moved_by
from lightning_mm.evaluation.linearity import TARGET, linearity, linearity_levels
from lightning_mm.evaluation.methods import return_frame_b
from lightning_mm.measuring.tracking import Tracker

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
SIZE = 96


@pytest.fixture(scope="module")
def scenes_and_bank():
    return sets.validation_set(None, pairs=1, size=SIZE).validation_scenes()


def test_levels_reach_a_factor_of_80_and_end_at_20_px():
    levels = linearity_levels()
    assert {round(level.alpha) for level in levels} == {1, 2, 5, 10, 20, 40, 80}
    assert max(level.magnified for level in levels) == pytest.approx(20.0)
    assert {level.motion for level in levels} == {0.05, 0.1, 0.2, 0.5, 1.0}


def test_the_tracker_is_right_to_a_fiftieth_of_a_pixel_and_frame_b_does_not_move(scenes_and_bank):
    sampler, bank = scenes_and_bank
    levels = [Level(0.05, magnified=0.5), Level(0.5, magnified=5.0), Level(1.0, magnified=10.0)]
    rows = linearity({"frame_b": return_frame_b}, levels, sampler, bank, samples=4)
    for row in rows:
        exact = row["motion"] if row["method"] == "frame_b" else row["expected"]
        assert row["measured"] == pytest.approx(exact, abs=0.02), row
        assert (row["samples"], row["alpha"]) == (4, pytest.approx(row["expected"] / row["motion"]))
    assert {row["method"] for row in rows} == {"frame_b", TARGET}


def test_all_layers_move_together(scenes_and_bank):
    sampler, bank = scenes_and_bank
    scenes = moved_by(collated(sampler, bank, range(4)), Level(0.5), together=True)
    assert torch.equal(scenes["shift"], scenes["shift"][:, :1].expand_as(scenes["shift"]))
    np.testing.assert_allclose(scenes["shift"].norm(dim=-1), 0.5, rtol=1e-6)


def test_a_method_that_moves_half_as_far_is_measured_so(scenes_and_bank):
    sampler, bank = scenes_and_bank
    level, samples = Level(1.0, magnified=8.0), 3
    halfway = []
    for index in range(samples):
        scenes = moved_by(collated(sampler, bank, range(index, index + 1)), level, together=True)
        halfway.append(render_clean({**scenes, "alpha": scenes["alpha"] / 2}, bank, SIZE).target)
    answers = iter(halfway)
    rows = linearity({"half": lambda a, b, alpha: next(answers)}, [level], sampler, bank, samples)
    assert rows[0]["measured"] == pytest.approx(4.0, abs=0.02)
    assert rows[0]["measured_error"] < 0.02


def test_an_output_in_which_nothing_is_found_is_counted_out(scenes_and_bank, monkeypatch):
    class Losing(Tracker):
        def __call__(self, frame):
            moved, corners = super().__call__(frame)
            return (moved, corners) if frame.any() else (np.full(2, np.nan), 0)

    monkeypatch.setattr("lightning_mm.evaluation.linearity.Tracker", Losing)
    sampler, bank = scenes_and_bank
    blank = iter([False, True, False])

    def method(a, b, alpha):
        return torch.full_like(a, -1.0) if next(blank) else b

    row = linearity({"some": method}, [Level(0.5)], sampler, bank, samples=3)[0]
    assert row["samples"] == 2
    assert row["measured"] == pytest.approx(0.5, abs=0.02)
