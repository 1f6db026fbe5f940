"""Spectra against sines whose frequency and amplitude are known, and against noise."""

import numpy as np
import pytest
from scipy.signal import periodogram

from lightning_mm.measuring.motion import Motion
from lightning_mm.measuring.spectrum import Spectrum, amplitudes_at, direction_at, noise_floor, peaks_of

FPS = 60.0


def sine(frequency, amplitude, frames, direction=(1.0, 0.0), phase=0.4, fps=FPS):
    wave = np.sin(2.0 * np.pi * frequency * np.arange(frames) / fps + phase)
    return amplitude * wave[:, None] * np.asarray(direction)


def test_spectrum_is_scipys_periodogram_of_a_short_clip():
    moved = np.random.default_rng(0).normal(size=(101, 2))
    spectrum = Spectrum.of(moved, FPS)
    frequencies, power = periodogram(moved, FPS, "hann", detrend="linear", scaling="spectrum", axis=0)
    np.testing.assert_allclose(spectrum.frequencies, frequencies)
    np.testing.assert_allclose(spectrum.components[1:, 0], np.sqrt(2.0 * power[1:]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spectrum.amplitude, np.linalg.norm(spectrum.components[:, 0], axis=1))


def test_an_ellipse_over_drift():
    phase = 2.0 * np.pi * 5.0 * np.arange(120) / FPS
    drift = np.linspace(0.0, 3.0, 120)
    motion = Motion(np.stack([2.0 * np.sin(phase) + drift, 0.5 * np.cos(phase)], axis=1), np.ones(120, int), FPS)
    frequency, peak_to_peak = motion.dominant()
    assert frequency == pytest.approx(5.0, abs=0.02)
    assert peak_to_peak == pytest.approx(4.0, rel=0.01)
    spectrum = motion.spectrum()
    assert spectrum.frequencies[-1] == FPS / 2
    k = np.argmax(spectrum.amplitude)
    assert spectrum.frequencies[k] == pytest.approx(5.0)
    np.testing.assert_allclose(spectrum.components[k, 0], (2.0, 0.5), rtol=0.01)


@pytest.mark.parametrize("frames", [48, 150, 1000, 3000])
@pytest.mark.parametrize("offset", [0.0, 0.31, 0.5])
def test_two_frequencies_in_noise_are_found(frames, offset):
    rng = np.random.default_rng(frames)
    bin_ = FPS / min(frames, 1024)
    slow, fast = (round(share * FPS / bin_) * bin_ + offset * bin_ for share in (0.13, 0.34))
    moved = sine(slow, 0.5, frames, (0.6, 0.8)) + sine(fast, 0.1, frames, (0.8, -0.6), phase=2.0)
    moved += rng.normal(scale=0.005, size=moved.shape) + np.linspace(0.0, 2.0, frames)[:, None]
    peaks = peaks_of(moved, FPS)
    assert [p.frequency for p in peaks] == pytest.approx([slow, fast], abs=0.25 * bin_)
    assert [p.amplitude for p in peaks] == pytest.approx([0.5, 0.1], rel=0.02)
    assert all(p.strength > 4.0 for p in peaks)


def test_a_frequency_that_wanders_is_one_peak_of_its_amplitude():
    time = np.arange(6000) / FPS
    phase = 2.0 * np.pi * np.cumsum(9.0 + 0.015 * np.sin(2.0 * np.pi * time / 60.0)) / FPS
    moved = np.stack([0.3 * np.sin(phase), np.zeros(6000)], axis=1)
    moved += np.random.default_rng(0).normal(scale=0.02, size=moved.shape)
    (peak,) = peaks_of(moved, FPS)
    assert peak.frequency == pytest.approx(9.0, abs=0.02)
    assert peak.amplitude == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("colour", ["white", "random walk"])
@pytest.mark.parametrize("frames", [64, 200, 900])
def test_noise_has_no_peaks(colour, frames):
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(100):
        moved = rng.normal(size=(frames, 2))
        found += len(peaks_of(moved.cumsum(axis=0) if colour == "random walk" else moved, FPS))
    assert found == 0


def test_a_vibration_is_found_in_coloured_noise():
    rng = np.random.default_rng(2)
    drift = 0.05 * rng.normal(size=(400, 2)).cumsum(axis=0)
    (peak,) = peaks_of(drift + sine(12.0, 0.15, 400), FPS)
    assert peak.frequency == pytest.approx(12.0, abs=0.05)
    assert peak.amplitude == pytest.approx(0.15, rel=0.1)


def test_floor_of_white_noise_is_its_median():
    heights = np.abs(np.random.default_rng(3).normal(size=(500, 3))) + 1.0
    heights[100:103] = 50.0
    floor = noise_floor(heights)
    np.testing.assert_allclose(floor, np.median(heights), rtol=0.4)


def test_gaps_are_bridged():
    moved = sine(7.0, 0.4, 200)
    holes = moved.copy()
    holes[[20, 21, 90]] = np.nan
    (peak,) = peaks_of(holes, FPS)[:1]
    assert peak.frequency == pytest.approx(7.0, abs=0.02)
    assert peak.amplitude == pytest.approx(0.4, rel=0.05)
    assert amplitudes_at(np.full((40, 2), np.nan), FPS, [5.0])[0, 0] == 0.0


def test_direction_of_a_vibration_does_not_follow_drift():
    moved = sine(7.0, 0.4, 200, (0.6, -0.8)) + np.linspace(0.0, 30.0, 200)[:, None] * [0.0, 1.0]
    np.testing.assert_allclose(direction_at(moved, FPS, 7.0), (-0.6, 0.8), atol=0.02)


@pytest.mark.parametrize("frames", [4, 5, 7])
def test_the_shortest_clips(frames):
    motion = Motion(np.random.default_rng(0).normal(size=(frames, 2)), np.ones(frames, int), FPS)
    frequency, peak_to_peak = motion.dominant()
    assert 0.0 <= frequency <= FPS / 2
    assert np.isfinite(peak_to_peak)
    motion.peaks()
