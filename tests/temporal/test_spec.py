import math

import pytest

from lightning_mm.errors import InputError
from lightning_mm.temporal import FilterSpec, design, parse_band
from lightning_mm.temporal.spec import MAX_DEFAULT_TAPS, MAX_TAPS, default_taps, resolving_taps


def fir(low=4.0, high=8.0, **settings):
    return FilterSpec("fir", low, high, **settings)


@pytest.mark.parametrize(("text", "band"), [("4,8", (4.0, 8.0)), (" 0.2 , 0.25", (0.2, 0.25)), ("1e-2,1", (0.01, 1.0))])
def test_bands_are_read(text, band):
    assert parse_band(text) == band


@pytest.mark.parametrize("text", ["4-8", "4", "4,8,12", "", "4,", "low,high", "4 8"])
def test_what_is_no_band_is_refused(text):
    with pytest.raises(InputError, match=rf"^--band {text}: must be LOW,HIGH, two frequencies in Hz, such as 4,8$"):
        parse_band(text)


REFUSED = [
    (FilterSpec("fourier", 4, 8), 60.0, None, r"--filter fourier: must be fir, butterworth or iir$"),  # type: ignore[arg-type]
    (fir(), 0.0, None, r"--fps 0: must be the true frame rate in Hz, a number above 0$"),
    (fir(), -30.0, None, r"--fps -30: "),
    (fir(), math.nan, None, r"--fps nan: "),
    (fir(), math.inf, None, r"--fps inf: "),
    (
        fir(0.0, 8.0),
        60.0,
        None,
        r"--band 0,8: LOW must be above 0; accepted is 0 < LOW < HIGH < 30 Hz, half of --fps 60",
    ),
    (fir(-1.0, 8.0), 60.0, None, r"--band -1,8: LOW must be above 0; "),
    (fir(8.0, 8.0), 60.0, None, r"--band 8,8: LOW must be below HIGH; "),
    (fir(8.0, 4.0), 60.0, None, r"--band 8,4: LOW must be below HIGH; "),
    (
        fir(4.0, 30.0),
        60.0,
        None,
        r"--band 4,30: HIGH is not below the Nyquist frequency; .* < 30 Hz, half of --fps 60",
    ),
    (
        fir(74.0, 78.0),
        30.0,
        None,
        r"--band 74,78: HIGH is not below the Nyquist frequency; .* < 15 Hz, half of",
    ),
    (fir(math.nan, 8.0), 60.0, None, r"--band nan,8: must be two finite numbers; "),
    (fir(4.0, math.inf), 60.0, None, r"--band 4,inf: must be two finite numbers; "),
    (fir(taps=30), 60.0, None, r"--taps 30: must be odd and at least 3; accepted are odd numbers from 3 to 65535$"),
    (fir(taps=1), 60.0, 99, r"--taps 1: must be odd and at least 3; accepted are odd numbers from 3 to 99$"),
    (fir(taps=0), 60.0, 100, r"--taps 0: must be odd and at least 3; accepted are odd numbers from 3 to 99$"),
    (fir(taps=-3), 60.0, None, r"--taps -3: must be odd"),
    (fir(taps=101), 60.0, 100, r"--taps 101: the window is longer than the clip of 100 frames; .* from 3 to 99$"),
    (fir(taps=MAX_TAPS + 2), 60.0, None, r"--taps 65537: the window is too long; .* from 3 to 65535$"),
    (fir(), 60.0, 2, r"--filter fir: the clip has 2 frames, fewer than the shortest window of 3; use --filter butter"),
    (fir(taps=3), 60.0, 1, r"--taps 3: the clip has 1 frame, fewer than the shortest window of 3; "),
    (FilterSpec("butterworth", 4, 8, order=0), 60.0, None, r"--order 0: must be a whole number from 1 to 8$"),
    (FilterSpec("butterworth", 4, 8, order=9), 60.0, None, r"--order 9: must be a whole number from 1 to 8$"),
    (fir(order=2), 60.0, None, r"--order 2: goes with --filter butterworth, not with fir$"),
    (FilterSpec("iir", 4, 8, order=2), 60.0, None, r"--order 2: goes with --filter butterworth, not with iir$"),
    (FilterSpec("iir", 4, 8, zero_phase=True), 60.0, None, r"--zero_phase true: goes with --filter fir, not with iir"),
    (FilterSpec("butterworth", 4, 8, zero_phase=True), 60.0, None, r"--zero_phase true: goes with --filter fir, not"),
    (FilterSpec("butterworth", 4, 8, taps=31), 60.0, None, r"--taps 31: goes with --filter fir, not with butterworth$"),
]


@pytest.mark.parametrize(("spec", "fps", "frames", "message"), REFUSED, ids=[m[:28] for *_, m in REFUSED])
def test_refused_by_name(spec, fps, frames, message):
    with pytest.raises(InputError, match=f"^{message}"):
        design(spec, fps, frames)


@pytest.mark.parametrize("frames", [3, 4, 10, 57, 220, 1000, None])
@pytest.mark.parametrize("zero_phase", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "fps"), [(0.2, 0.25, 24), (74, 78, 1900), (20, 30, 120), (1, 9, 20), (0.01, 1, 30)]
)
def test_default_windows_are_odd_and_fit_the_clip(low, high, fps, zero_phase, frames):
    taps = default_taps(fir(low, high, zero_phase=zero_phase), fps, frames)
    assert taps % 2 == 1
    assert 3 <= taps <= min(MAX_DEFAULT_TAPS, frames or MAX_DEFAULT_TAPS)


@pytest.mark.parametrize(
    ("low", "high", "fps"), [(28, 36, 240), (74, 78, 1900), (20, 30, 120), (1, 9, 60), (0.5, 3, 60)]
)
def test_default_windows_resolve_the_band_and_are_in_step_with_its_centre(low, high, fps):
    found = design(fir(low, high), fps)
    assert found.taps >= resolving_taps(low, high, fps)
    assert found.gain(low - min(low, high - low)) < 0.01
    assert found.gain(high + high - low) < 0.01
    # To the nearest frame: half a frame is this many degrees.
    centre = (low + high) / 2.0
    assert abs(found.phase(centre)) <= 180.0 * centre / fps + 1e-6
    longer = found.taps + 2
    assert abs(design(fir(low, high, taps=longer), fps).phase(centre)) >= abs(found.phase(centre))


def test_a_short_clip_takes_as_many_whole_periods_as_it_has_room_for():
    # 76 Hz at 1900 frames per second: 25 frames a period; 219 frames have room for a delay of 109, so of 100.
    assert default_taps(fir(74.0, 78.0), 1900.0, 220) == 201
    assert default_taps(fir(74.0, 78.0, zero_phase=True), 1900.0, 220) == 219
    assert default_taps(fir(74.0, 78.0), 1900.0, 40) == 39
