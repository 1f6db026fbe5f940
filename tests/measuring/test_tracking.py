"""Tracked points and regions against motion that was put in."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
from lightning_mm.errors import InputError
from lightning_mm.evaluation.clips import rendered_clip, textured_scene
from lightning_mm.measuring.motion import track
from lightning_mm.measuring.tracking import CORNER, EDGE, FLAT, PointTracker, Tracker

FPS = 60.0


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0)])
def test_exactly_rendered_motion_is_measured(pictures, direction, depth):
    sizes = np.array([0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 8.4])
    scene, bank = textured_scene(0, 160, None, torch.device("cpu"))
    rendered = rendered_clip(scene, bank, 160, sizes, direction)
    frames = [pictures.rgb(127.5 * (frame[0, 0].numpy() + 1.0), depth) for frame in rendered]
    tracker = Tracker(frames[0], (0, 0, 160, 160), "frame")
    moved = np.array([tracker(frame)[0] for frame in frames])
    expected = sizes[:, None] * direction
    np.testing.assert_allclose(moved[:-1], expected[:-1], rtol=0, atol=0.007)
    np.testing.assert_allclose(moved[-1], expected[-1], rtol=0, atol=0.02)
    # A hundredth of the motion where it is small: the pyramid alone overstates it by 4 to 7 %.
    np.testing.assert_allclose(moved[1:4] @ direction, sizes[1:4], rtol=0.016)


@pytest.mark.parametrize(("amplitude", "frequency", "angle"), [(0.2, 6.0, 0.0), (1.5, 7.3, 0.6), (0.05, 11.0, 1.5)])
def test_sinusoid_is_measured(tmp_path, pictures, amplitude, frequency, angle):
    phase = 2.0 * math.pi * frequency * np.arange(60) / FPS
    motion = amplitude * np.sin(phase)[:, None] * [math.cos(angle), math.sin(angle)]
    measured = track(pictures.folder(tmp_path / "frames", pictures.clip(motion)), fps=FPS)
    found_frequency, peak_to_peak = measured.dominant()
    assert found_frequency == pytest.approx(frequency, abs=0.03)
    assert peak_to_peak == pytest.approx(2.0 * amplitude, rel=0.015)
    np.testing.assert_allclose(measured.displacement, motion, rtol=0, atol=0.01)


def test_region_decides_what_is_measured(tmp_path, pictures):
    frames = pictures.clip([(0.0, 0.0)] * 8)
    for number, frame in enumerate(frames):
        frame[:, 64:] = np.roll(frame[:, 64:], number, axis=0)
    folder = pictures.folder(tmp_path / "frames", frames)
    still, moving = (track(folder, roi, FPS).peak_to_peak for roi in ("4,4,40,80", "84,20,36,40"))
    assert still[1] < 0.05
    assert moving[1] == pytest.approx(7.0, abs=0.05)


def test_points_tell_what_they_show(pictures):
    frame = np.full((96, 256, 3), 128, np.uint8)
    frame[:, :80] = 60  # an upright edge at 80
    frame[:, 160:] = pictures.rgb(pictures.texture(96, 96))
    tracker = PointTracker(frame, np.array([[80.0, 48.0], [120.0, 48.0], [210.0, 48.0]]))
    assert tracker.kinds.tolist() == [EDGE, FLAT, CORNER]
    moved = tracker(np.roll(frame, (3, 2), axis=(0, 1)))
    np.testing.assert_allclose(moved[0], (2.0, 0.0), atol=0.01)  # along the edge nothing is seen
    assert np.isnan(moved[1]).all()
    np.testing.assert_allclose(moved[2], (2.0, 3.0), atol=0.01)


def test_what_is_gone_is_lost(pictures):
    first, other = (pictures.rgb(pictures.texture(96, 128, seed)) for seed in (0, 5))
    points = np.array([[40.0, 40.0], [80.0, 50.0]])
    assert np.isnan(PointTracker(first, points)(other)).all()
    moved, found = Tracker(first, (0, 0, 128, 96), "frame")(other)
    assert found < 10
    grey = np.full_like(first, 128)
    moved, found = Tracker(first, (0, 0, 128, 96), "frame")(grey)
    assert found == 0
    assert np.isnan(moved).all()


def test_nothing_to_track(pictures):
    with pytest.raises(InputError, match=r"frame 7: region 0,0,64,64 has no corner"):
        Tracker(np.full((64, 64, 3), 128, np.uint8), (0, 0, 64, 64), "frame 7")


def test_too_few_frames(tmp_path, pictures):
    with pytest.raises(InputError, match="2 frames"):
        track(pictures.folder(tmp_path / "frames", pictures.clip([(0.0, 0.0)] * 2)))


def test_loss_in_the_middle_is_said(tmp_path, pictures):
    frames = pictures.clip([(0.0, 0.0)] * 5)
    frames[3][:] = 128
    with pytest.raises(InputError, match="frame 3: every feature of the region was lost"):
        track(pictures.folder(tmp_path / "frames", frames))
