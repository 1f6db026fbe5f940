"""The suggested band of clips whose vibration is known, and of clips that have none."""

import re

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
from lightning_mm.measuring.bands import BandSearch, band_around, suggest_band

FPS = 60.0


def searched(frames, region=None):
    height, width = frames[0].shape[:2]
    search = BandSearch(frames[0], region or (0, 0, width, height))
    for frame in frames:
        search.add(frame)
    return search.suggestion(FPS)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_small_part_that_vibrates_in_a_still_noisy_scene(pictures, depth):
    rng = np.random.default_rng(0)
    scene = pictures.texture(160, 200)
    patch = pictures.texture(48, 48, seed=3)
    frames = []
    for t in range(90):
        frame = scene.copy()
        frame[60:108, 90:138] = pictures.shift(patch, 0.12 * np.sin(2.0 * np.pi * 13.0 * t / FPS), 0.0)
        frames.append(pictures.rgb(frame + rng.normal(scale=2.0, size=frame.shape), depth))
    band = searched(frames)
    assert band is not None
    assert band.unit == "px"
    assert band.frequency == pytest.approx(13.0, abs=0.3)
    assert band.low < 11.0 < 13.0 < 15.0 < band.high
    assert band.high - band.low < 8.0
    assert band.amplitude == pytest.approx(0.12, rel=0.3)
    assert band.strength > 4.0
    assert band.warnings == ()


def test_a_clip_of_noise_and_a_still_clip_have_no_band(pictures):
    rng = np.random.default_rng(0)
    scene = pictures.texture(96, 128)
    assert searched([pictures.rgb(scene + rng.normal(scale=4.0, size=scene.shape)) for _ in range(60)]) is None
    assert searched([pictures.rgb(scene)] * 40) is None


def test_flicker_of_a_flat_clip_is_found_in_its_brightness():
    levels = 128.0 + 6.0 * np.sin(2.0 * np.pi * 9.0 * np.arange(80) / FPS)
    noise = np.random.default_rng(0).normal(scale=1.0, size=(80, 48, 64, 3))
    frames = [np.clip(np.rint(level + n), 0, 255).astype(np.uint8) for level, n in zip(levels, noise, strict=True)]
    band = searched(frames)
    assert band is not None
    assert band.unit == "grey levels"
    assert band.frequency == pytest.approx(9.0, abs=0.2)
    assert band.amplitude == pytest.approx(6.0, rel=0.15)


def test_the_region_decides(pictures):
    phase = 2.0 * np.pi * np.arange(60) / FPS
    left, right = pictures.texture(96, 96, seed=1), pictures.texture(96, 96, seed=2)
    frames = [
        np.concatenate(
            [
                pictures.rgb(pictures.shift(left, 0.3 * np.sin(5.0 * p), 0.0)),
                pictures.rgb(pictures.shift(right, 0.3 * np.sin(17.0 * p), 0.0)),
            ],
            axis=1,
        )
        for p in phase
    ]
    bands = [searched(frames, region) for region in ((0, 0, 80, 96), (112, 0, 80, 96))]
    assert [band.frequency for band in bands if band] == pytest.approx([5.0, 17.0], abs=0.3)


def signals(frequencies, frames=240, points=60, noise=0.01, share=0.2, seed=0):
    """Displacement of points, of which a share vibrates with (frequency, amplitude) each."""
    rng = np.random.default_rng(seed)
    found = rng.normal(scale=noise, size=(frames, points, 2))
    time = np.arange(frames)[:, None] / FPS
    for frequency, amplitude in frequencies:
        found[:, : int(share * points), 0] += amplitude * np.sin(2.0 * np.pi * frequency * time + 1.0)
    return found


def test_the_larger_of_two_is_taken_and_the_other_named():
    band = suggest_band(signals([(8.0, 0.2), (21.0, 0.06)]), FPS)
    assert band is not None
    assert band.frequency == pytest.approx(8.0, abs=0.1)
    assert band.others == pytest.approx((21.0,), abs=0.1)
    assert (band.low, band.high) == pytest.approx((0.8 * 8.0, 1.2 * 8.0), abs=0.1)


def test_loud_drift_is_not_taken_for_vibration():
    moved = signals([(12.0, 0.1)])
    moved += 0.3 * np.random.default_rng(5).normal(size=(240, 1, 2)).cumsum(axis=0) * 0.1
    band = suggest_band(moved, FPS)
    assert band is not None
    assert band.frequency == pytest.approx(12.0, abs=0.1)


def test_noise_rarely_passes():
    assert not any(suggest_band(signals([], frames=120, points=40, seed=seed), FPS) for seed in range(50))
    assert suggest_band(np.zeros((120, 10, 2)), FPS) is None
    assert suggest_band(np.zeros((4, 10, 2)), FPS) is None
    assert suggest_band(np.zeros((120, 0, 2)), FPS) is None


def test_doubts_are_said():
    near = suggest_band(signals([(27.0, 0.2)]), FPS)
    assert near is not None
    assert "alias" in near.warnings[0]
    assert "33 Hz" in near.warnings[0]
    assert near.high < FPS / 2
    slow = suggest_band(signals([(0.62, 1.0)], frames=240, share=1.0), FPS)
    assert slow is not None
    assert re.search(r"only 2\.[3-7] periods", slow.warnings[0])
    assert slow.low > 0.0


@pytest.mark.parametrize(("frequency", "resolution"), [(30.0, 0.25), (1.0, 0.25), (0.3, 0.25), (124.0, 1.0)])
def test_edges(frequency, resolution):
    low, high = band_around(frequency, resolution, 250.0)
    assert 0.0 < low < frequency < high < 125.0
    assert high - low <= 2.0 * max(0.2 * frequency, 1.5 * resolution) + 1e-9
