import math

import numpy as np
import pytest
from scipy.signal import butter, firwin, freqz, freqz_sos, group_delay, sosfilt

from lightning_mm.temporal import FilterSpec, advice, design

BANDS = [(4.0, 8.0, 60.0), (0.2, 0.25, 24.0), (0.01, 1.0, 30.0), (72.0, 92.0, 600.0), (20.0, 59.0, 120.0)]


def frequencies(fps):
    return np.linspace(0.0, fps / 2.0, 301)


@pytest.mark.parametrize(("low", "high", "fps"), BANDS)
@pytest.mark.parametrize("taps", [3, 31, 121])
def test_fir_is_scipys(low, high, fps, taps):
    found = design(FilterSpec("fir", low, high, taps=taps), fps)
    expected = freqz(firwin(taps, [low, high], pass_zero=False, fs=fps), worN=frequencies(fps), fs=fps)[1]
    np.testing.assert_allclose(found.response(frequencies(fps)), expected, atol=1e-12)
    assert found.gain((low + high) / 2.0) == pytest.approx(1.0, abs=1e-12)
    assert (found.taps, found.delay, found.settling) == (taps, 0, taps - 1)


@pytest.mark.parametrize(("low", "high", "fps"), BANDS)
@pytest.mark.parametrize("order", [1, 2, 3, 8])
def test_butterworth_is_scipys(low, high, fps, order):
    found = design(FilterSpec("butterworth", low, high, order=order), fps)
    sos = butter(order, [low, high], "bandpass", output="sos", fs=fps)
    expected = freqz_sos(sos, worN=frequencies(fps), fs=fps)[1]
    np.testing.assert_allclose(found.response(frequencies(fps)), expected, atol=1e-7)
    assert found.gain(found.peak) == pytest.approx(1.0, abs=1e-7)
    assert found.edges() == pytest.approx((low, high), rel=1e-5)


@pytest.mark.parametrize(("low", "high", "fps"), BANDS)
def test_iir_is_the_difference_of_low_passes_at_a_peak_of_one(low, high, fps):
    found = design(FilterSpec("iir", low, high), fps)
    slow, fast = (1.0 - math.exp(-2.0 * math.pi * edge / fps) for edge in (low, high))
    hertz = np.concatenate((np.geomspace(low / 100.0, fps / 2.0, 3000), frequencies(fps)))
    passes = [freqz([r], [1.0, r - 1.0], worN=hertz, fs=fps)[1] for r in (slow, fast)]
    difference = passes[1] - passes[0]
    assert found.raw_gain == pytest.approx(np.abs(difference).max(), rel=1e-5)
    np.testing.assert_allclose(found.response(hertz), difference / found.raw_gain, atol=1e-9)
    assert np.abs(found.response(hertz)).max() <= 1.0 + 1e-9


def test_coefficients_of_earlier_work_are_not_hertz():
    """Coefficients of 0.04 and 0.4 at 30 frames per second: peak 0.85 at 0.69 Hz, within 3 dB from 0.17 to 2.87 Hz."""
    low, high = (-30.0 * math.log(1.0 - r) / (2.0 * math.pi) for r in (0.04, 0.4))
    found = design(FilterSpec("iir", low, high), 30.0)
    assert found.rates == pytest.approx((0.04, 0.4))
    assert found.raw_gain == pytest.approx(0.85, abs=0.01)
    assert found.peak == pytest.approx(0.69, abs=0.01)
    assert found.edges() == pytest.approx((0.17, 2.87), abs=0.01)


@pytest.mark.parametrize("taps", [31, 33])
def test_zero_phase_is_the_causal_filter_without_its_delay(taps):
    causal = design(FilterSpec("fir", 4.0, 8.0, taps=taps), 60.0)
    found = design(FilterSpec("fir", 4.0, 8.0, taps=taps, zero_phase=True), 60.0)
    response = found.response(frequencies(60.0))
    assert found.delay == (taps - 1) // 2
    assert np.abs(response.imag).max() == 0.0
    np.testing.assert_allclose(np.abs(response), np.abs(causal.response(frequencies(60.0))), atol=1e-12)
    assert (response.real[(frequencies(60.0) >= 4.0) & (frequencies(60.0) <= 8.0)] > 0.5).all()
    assert (found.phase(6.0), found.group_delay(6.0)) == (0.0, 0.0)


def test_response_keeps_the_shape():
    found = design(FilterSpec("butterworth", 4.0, 8.0), 60.0)
    assert found.response(6.0).shape == ()
    assert found.response(np.full((2, 3), 6.0)).shape == (2, 3)


@pytest.mark.parametrize("kind", ["fir", "butterworth", "iir"])
def test_group_delay_is_scipys(kind):
    found = design(FilterSpec(kind, 4.0, 8.0), 60.0)
    if kind == "butterworth":
        ratio = butter(1, [4.0, 8.0], "bandpass", fs=60.0)
    elif kind == "iir":
        slow, fast = (1.0 - r for r in found.rates)
        ratio = ([1.0, -1.0], np.convolve([1.0, -slow], [1.0, -fast]))
    else:
        ratio = (found.weights, [1.0])
    assert found.group_delay(6.0) == pytest.approx(group_delay(ratio, w=[6.0], fs=60.0)[1][0], rel=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_settled_means_a_hundredth(order):
    found = design(FilterSpec("butterworth", 4.0, 8.0, order=order), 60.0)
    impulse = np.zeros(2000)
    impulse[0] = 1.0
    rest = np.abs(sosfilt(butter(order, [4.0, 8.0], "bandpass", output="sos", fs=60.0), impulse))
    assert rest[found.settling :].max() < 0.03 * rest.max()
    assert rest[found.settling // 3 :].max() > 0.05 * rest.max()


@pytest.mark.parametrize("taps", [3, 31, 121, 481])
def test_edges_of_a_fir_are_where_its_gain_has_fallen(taps):
    found = design(FilterSpec("fir", 28.0, 36.0, taps=taps), 240.0)
    low, high = found.edges()
    within = np.abs(found.response(np.linspace(low, high, 501)[1:-1]))
    assert within.min() > math.sqrt(0.5) - 1e-3
    for edge, open_end in ((low, 0.0), (high, 120.0)):
        assert edge == open_end or found.gain(edge) == pytest.approx(math.sqrt(0.5), abs=1e-6)
    if taps >= 31:
        assert 0.0 < low < 32.0 < high < 120.0


def test_described_in_numbers():
    lines = design(FilterSpec("butterworth", 4.0, 8.0), 60.0).describe()
    assert "Butterworth of order 1, causal, 4 to 8 Hz at 60 frames/s" in lines[0]
    assert "gain 0.71 at 4 Hz, 0.99 at 6 Hz, 0.71 at 8 Hz, 0 at 0 Hz; within 3 dB from 4 to 8 Hz" in lines[1]
    assert "phase 45 degrees at 4 Hz, -8 degrees at 6 Hz, -45 degrees at 8 Hz; group delay 4.41 frames" in lines[2]
    iir = design(FilterSpec("iir", 4.0, 8.0), 60.0).describe()
    assert "its own gain, 0.329 at 5.852 Hz, is normalised to 1" in iir
    zero = design(FilterSpec("fir", 4.0, 8.0, taps=31, zero_phase=True), 60.0).describe()
    assert zero[-1] == "in step with the input; needs 15 frames (250 ms) ahead"


ADVICE = [
    (FilterSpec("fir", 1.0, 9.0, taps=5), 20.0, 200, ["too short for 1 to 9 Hz", "by -180 degrees"]),
    (
        FilterSpec("fir", 4.0, 8.0, taps=31),
        60.0,
        600,
        ["by -180 degrees, so that what is added opposes it; use"],
    ),
    (FilterSpec("fir", 0.2, 0.25), 24.0, 220, ["about 961 are needed, more than the clip's 220"]),
    (FilterSpec("butterworth", 0.01, 1.0), 30.0, 300, ["passes nearly all motion slower than 1 Hz, drift included"]),
    (FilterSpec("butterworth", 0.1, 0.5), 30.0, 200, ["shorter than one period of 0.1 Hz (10 s)"]),
    (FilterSpec("butterworth", 0.2, 0.25), 24.0, 220, ["the filter settles in 29"]),
    (FilterSpec("iir", 4.0, 8.0), 60.0, 600, ["passes 2.29 to 16.5 Hz (-3 dB); use --filter butterworth or fir"]),
]


@pytest.mark.parametrize(("spec", "fps", "frames", "expected"), ADVICE, ids=[expected[0] for *_, expected in ADVICE])
def test_advice(spec, fps, frames, expected):
    lines = advice(design(spec, fps, frames), frames)
    assert len(lines) == len(expected)
    for line, part in zip(lines, expected, strict=True):
        assert part in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("spec", "fps"),
    [
        (FilterSpec("fir", 28.0, 36.0), 240.0),
        (FilterSpec("fir", 4.0, 8.0, taps=31, zero_phase=True), 60.0),
        (FilterSpec("fir", 20.0, 59.0), 120.0),
        (FilterSpec("butterworth", 28.0, 36.0, order=4), 240.0),
        (FilterSpec("iir", 0.2, 2.4), 30.0),
    ],
)
@pytest.mark.parametrize("frames", [600, None])
def test_no_advice_for_what_is_fine(spec, fps, frames):
    assert advice(design(spec, fps, frames), frames) == []
