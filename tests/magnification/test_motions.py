import pytest

from lightning_mm.errors import InputError
from lightning_mm.magnification.motions import make_plan
from lightning_mm.temporal import PRESETS, FilterSpec


def test_what_is_left_out():
    plan = make_plan()
    assert (plan.alpha, plan.mode, plan.reference, plan.spec, plan.fps) == (10.0, "static", 0, None, None)
    assert make_plan(band="4,8").spec == FilterSpec("fir", 4.0, 8.0)
    assert make_plan(band="4,8").mode == "temporal"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_taken_whole(name):
    plan, known = make_plan(preset_name=name), PRESETS[name]
    assert (plan.alpha, plan.mode, plan.spec, plan.fps) == (known.alpha, known.mode, known.filter, known.fps)


def test_what_is_given_wins_over_the_preset():
    plan = make_plan(alpha=5.0, band="70,80", filter="butterworth", order=2, preset_name="drum")
    assert (plan.alpha, plan.fps, plan.spec) == (5.0, 1900.0, FilterSpec("butterworth", 70.0, 80.0, order=2))
    assert make_plan(mode="dynamic", preset_name="drum").spec is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "alpha = 10 against frame 0"),
        ({"reference": 3, "alpha": 2.5}, "alpha = 2.5 against frame 3"),
        ({"mode": "dynamic"}, "alpha = 10 against the frame before"),
        ({"band": "4,8", "zero_phase": True}, "alpha = 10 within 4 to 8 Hz (fir, zero phase)"),
    ],
)
def test_description(options, expected):
    assert make_plan(**options).describe() == expected


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mode": "temporal"}, "mode = temporal: needs '--band LOW,HIGH' in Hz"),
        ({"mode": "static", "band": "4,8"}, "band = 4,8: has a meaning in temporal mode only, here mode = static"),
        ({"mode": "dynamic", "order": 2}, "order = 2: has a meaning in temporal mode only"),
        ({"zero_phase": True, "mode": "static"}, "zero_phase = True: has a meaning in temporal mode only"),
        ({"reference": 2, "band": "4,8"}, "reference = 2: has a meaning in static mode only, here mode = temporal"),
        ({"alpha": -2.0}, "alpha = -2: must be >= 0"),
        ({"preset_name": "piano"}, "--preset piano: must be one of crane, drum"),
        ({"band": "4"}, "--band 4: must be LOW,HIGH"),
    ],
)
def test_what_does_not_go_together_is_refused(options, reason):
    with pytest.raises(InputError, match=reason) as caught:
        make_plan(**options)
    assert "\n" not in str(caught.value)


def test_a_band_means_temporal_mode_whatever_the_preset():
    plan = make_plan(band="4,8", preset_name="column")
    assert (plan.mode, plan.alpha, plan.spec) == ("temporal", 7.0, FilterSpec("fir", 4.0, 8.0))


def test_negative_alpha_when_asked_for():
    assert make_plan(alpha=-2.0, inverse=True).alpha == -2.0


def test_bands_are_checked_against_the_clip():
    with pytest.raises(InputError, match="Nyquist"):
        make_plan(band="4,80").design(120.0, 100)
    with pytest.raises(InputError, match="longer than the clip of 20 frames"):
        make_plan(band="4,8", taps=41).design(120.0, 20)
    assert make_plan().design(120.0, 20) is None
