"""Clips of known motion: what is rendered, how it is magnified, and fits against analytic waveforms."""

import math

import numpy as np
import pytest
import torch

from lightning_mm.evaluation.clips import (
    Sine,
    enough,
    frequency_of,
    magnify_clip,
    quantised,
    rendered_clip,
    textured_scene,
    track_frames,
    tracker_of,
)
from lightning_mm.magnification.frames import to_frame

SIZE = 96
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene():
    return textured_scene(0, SIZE, None, CPU)


def test_the_whole_frame_moves_by_the_displacement_along_the_direction(scene):
    still, along_x, along_y = (
        next(rendered_clip(*scene, SIZE, np.array([moved]), towards))
        for moved, towards in ((0.0, (1.0, 0.0)), (3.0, (1.0, 0.0)), (-2.0, (0.0, 1.0)))
    )
    assert still.std() > 0.1, "textured"
    torch.testing.assert_close(along_x[..., 3:], still[..., :-3], rtol=0, atol=1e-5)
    torch.testing.assert_close(along_y[..., :-2, :], still[..., 2:, :], rtol=0, atol=1e-5)


def test_the_camera_has_256_levels_and_keeps_the_mean(scene):
    exact = list(rendered_clip(*scene, SIZE, np.zeros(12)))
    seen = quantised(exact, scene[0])
    levels = 127.5 * (torch.cat(seen) + 1.0)
    assert (levels - levels.round()).abs().max() < 1e-3
    assert not torch.equal(seen[0], seen[1]), "dithered anew"
    assert (torch.cat(seen).mean(0) - exact[0][0]).abs().mean() * 127.5 < 0.2
    assert all(torch.equal(a, b) for a, b in zip(seen, quantised(exact, scene[0]), strict=True))


def test_a_clip_is_magnified_as_its_frames_are_in_pairs_and_encoded_once(tiny_magnifier, scene, monkeypatch):
    frames = quantised(rendered_clip(*scene, SIZE, np.array([0.0, 0.2, -0.1])), scene[0])
    encoded = []
    encode = tiny_magnifier.magnifier.encode
    monkeypatch.setattr(tiny_magnifier.magnifier, "encode", lambda frame: (encoded.append(1), encode(frame))[1])
    found = list(magnify_clip(tiny_magnifier, frames, [1.0, 20.0]))
    assert len(encoded) == 3
    monkeypatch.undo()
    in_pairs = list(magnify_clip(lambda a, b, alpha: tiny_magnifier(a, b, alpha), frames, [1.0, 20.0]))
    for once, pair in zip(found, in_pairs, strict=True):
        for x, y in zip(once, pair, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("phase", [0.0, 0.7, -2.5])
def test_a_sine_with_harmonics_is_found_again(phase):
    time = np.arange(75) / 250.0
    turn = 2.0 * math.pi * 20.0 * time
    values = 0.3 + 4.0 * np.sin(turn + phase) + 0.3 * np.sin(2 * turn) + 0.4 * np.cos(3 * turn)
    sine = Sine(values, turn, harmonics=5)
    assert sine.amplitude == pytest.approx(4.0)
    assert sine.phase == pytest.approx(phase)
    assert sine.distortion == pytest.approx(0.5 / 4.0)
    assert sine.residual == pytest.approx(0.0, abs=1e-9)
    assert Sine(values, turn).residual == pytest.approx(0.5 / math.sqrt(2.0))


def test_gaps_are_not_fitted_and_too_many_are_too_many():
    turn = 2.0 * math.pi * np.arange(40) / 10.0
    values = 2.0 * np.sin(turn)
    values[::3] = np.nan
    assert Sine(values, turn).amplitude == pytest.approx(2.0)
    assert enough(values, 3)
    values[::2] = np.nan
    assert not enough(values, 3)
    assert not enough(np.full(40, np.nan), 3)


def test_motion_in_a_plane_has_its_larger_axis():
    turn = 2.0 * math.pi * np.arange(64) / 16.0
    along = np.array([0.6, 0.8])
    values = 3.0 * np.sin(turn)[:, None] * along + 1.0 * np.cos(turn)[:, None] * [-0.8, 0.6]
    sine = Sine(values, turn)
    assert sine.amplitude == pytest.approx(3.0)
    assert abs(sine.direction @ along) == pytest.approx(1.0)


@pytest.mark.parametrize("frequency", [20.0, 20.37, 31.9, 71.3])
def test_frequency_of_a_noisy_drifting_sine(frequency):
    time = np.arange(75) / 250.0
    noise = np.random.default_rng(0).normal(scale=0.02, size=75)
    values = np.sin(2.0 * math.pi * frequency * time + 0.4) + 0.5 * time + noise
    assert frequency_of(values, 250.0) == pytest.approx(frequency, abs=0.03)
    plane = np.stack([0.3 * values, 0.9 * values], axis=1)
    assert frequency_of(plane, 250.0) == pytest.approx(frequency, abs=0.03)


def test_frames_of_no_texture_have_no_displacement():
    pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
    grey = torch.zeros(1, 3, 32, 32)
    tracker = tracker_of(grey)
    assert tracker is None
    moved, corners = track_frames(tracker, [to_frame(grey)] * 3)
    assert np.isnan(moved).all()
    assert (moved.shape, corners) == ((3, 2), 0)
