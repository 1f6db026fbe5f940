"""Linearity in clips: the measurement's own error, and methods whose gain is known."""

import numpy as np
import pytest
import torch

from lightning_mm.evaluation import linearity
from lightning_mm.evaluation.clips import rendered_clip, textured_scene
from lightning_mm.evaluation.linearity import CLIP_PEAK, TARGET, clip_amplitudes
from lightning_mm.evaluation.methods import FRAME_B, return_frame_b

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
SIZE, FRAMES, CYCLES = 96, 20, 2
MOTION = CLIP_PEAK * np.sin(2.0 * np.pi * CYCLES * np.arange(FRAMES) / FRAMES)


@pytest.fixture(scope="module")
def scene():
    return textured_scene(0, SIZE, None, torch.device("cpu"))


def rows_of(methods, scene, monkeypatch, factors):
    for name, value in (("FACTORS", factors), ("FRAMES", FRAMES), ("CYCLES", CYCLES)):
        monkeypatch.setattr(linearity, f"CLIP_{name}", value)
    return {(row["method"], row["alpha"]): row for row in clip_amplitudes(methods, *scene, SIZE)}


def test_the_tracked_target_is_right_to_a_hundredth_of_a_pixel_up_to_80_times(scene, monkeypatch):
    rows = rows_of({FRAME_B: return_frame_b}, scene, monkeypatch, (5.0, 80.0))
    for alpha in (5.0, 80.0):
        assert rows[TARGET, alpha]["measured"] == pytest.approx(CLIP_PEAK * alpha, abs=0.01)
        assert rows[TARGET, alpha]["residual"] < 0.01
        assert rows[FRAME_B, alpha]["measured"] == pytest.approx(CLIP_PEAK, abs=0.01)
    assert rows[TARGET, 80.0]["expected"] == pytest.approx(16.0)


def test_a_method_that_moves_less_and_less_is_measured_so(scene, monkeypatch):
    """One that saturates: exactly half of what is asked at a factor of 40."""
    halved = iter([*rendered_clip(*scene, SIZE, 20.0 * MOTION)])
    rows = rows_of({"half": lambda a, b, alpha: next(halved)}, scene, monkeypatch, (40.0,))
    assert rows["half", 40.0]["measured"] == pytest.approx(4.0, abs=0.01)


def test_the_line_through_amplitudes():
    rows = [
        {"method": "m", "expected": float(x), "measured": 0.8 * x + 0.3, "residual": 0.0, "corners": 9, "alpha": x}
        for x in (1, 2, 4, 8, 16)
    ]
    (fit,) = linearity._fits(rows)
    assert fit["slope"] == pytest.approx(0.8)
    assert fit["intercept_px"] == pytest.approx(0.3)
    assert fit["r_squared"] == pytest.approx(1.0)
    assert fit["largest_error_px"] == pytest.approx(abs(0.8 * 16 + 0.3 - 16))
    still = [{**row, "measured": 0.2} for row in rows]
    assert linearity._fits(still)[0]["slope"] == 0.0
    assert linearity._fits(still)[0]["r_squared"] is None
    lost = [{**row, "measured": None} for row in rows]
    assert linearity._fits(lost)[0]["slope"] is None
    assert linearity._means(lost)[0]["ratio"] is None
