"""Live views from end to end: what is shown, what the controls do, what is counted, how it ends."""

import io

import numpy as np
import pytest
from live.views import Greys, Plain
from PIL import Image

from lightning_mm.errors import InputError
from lightning_mm.live.session import Session
from lightning_mm.magnification.motions import make_plan
from lightning_mm.magnification.selection import everything, select


def made(clip, seconds=0.0, mode="static", alpha=5.0, selection=None, **options):
    known = {name: options.pop(name) for name in ("side_by_side", "loop", "recorder", "say") if name in options}
    plan = make_plan(alpha, mode, **options)
    chosen = selection or everything(clip.width, clip.height)
    return Session(clip, float(clip.fps), Plain(seconds), plan, chosen, **known)


def pixels(picture):
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def grey(picture):
    return pixels(picture).mean()


def until(pictures, level):
    """The next picture of a level, within what JPEG rounds."""
    for number, picture in enumerate(pictures):
        if abs(grey(picture) - level) < 1.5:
            return picture
        assert number < 400, grey(picture)
    raise AssertionError("the stream ended")


def test_pictures_follow_alpha_and_the_reference(shown):
    clip = Greys([100] + [110] * 4000, fps=100)
    with shown(made(clip, alpha=5.0)) as browser, browser.pictures() as pictures:
        until(pictures, 150.0)
        assert browser.control({"alpha": 9})["alpha"] == 9.0
        until(pictures, 190.0)
        browser.control({"alpha": 0})
        until(pictures, 100.0)
        browser.control({"alpha": 9, "reference": True})
        until(pictures, 110.0)
        assert browser.status()["mode"] == "static"
    assert browser.errors == []


def test_a_pause_holds_the_picture(shown):
    with shown(made(Greys([50] * 4000, fps=100))) as browser:
        browser.until(lambda status: status["shown"] > 5)
        browser.control({"paused": True})
        held = browser.until(lambda status: status["state"] == "paused")
        for _ in range(5):
            assert browser.status()["shown"] == held["shown"]
        browser.control({"paused": False})
        later = browser.until(lambda status: status["shown"] > held["shown"] + 5)
        assert later["state"] == "running"
        assert later["read"] == later["shown"] + later["dropped"]


def test_a_slow_method_drops_frames_instead_of_lagging(shown):
    clip = Greys([100] * 120, fps=100)
    session = made(clip, seconds=0.05)
    with shown(session) as browser, browser.pictures() as pictures:
        received = sum(1 for _ in pictures)
        browser.thread.join(20)
    counters = session.counters
    assert received <= counters.shown < 60
    assert counters.dropped > counters.shown
    assert 100 < counters.read <= 120
    # Had frames waited for their turn, the last would be 4.8 s late.
    assert 50.0 <= counters.latency().median < 2000.0
    assert counters.latency().p95 >= counters.latency().median
    assert session.status()["state"] == "ended"


def test_temporal_mode_measures_the_rate_first_and_passes_the_band(shown):
    clip = Greys(100 + 10 * np.sin(2 * np.pi * 4.0 * np.arange(600) / 50.0), fps=50)
    session = made(clip, mode="temporal", alpha=4.0, band="3,5", filter="butterworth")
    with shown(session) as browser, browser.pictures() as pictures:
        assert not browser.status()["magnifies"]
        before = [grey(next(pictures)) for _ in range(20)]
        status = browser.until(lambda status: status["magnifies"])
        assert status["band_hz"] == [3.0, 5.0]
        assert status["rate_hz"] == pytest.approx(50.0 / status["step"], rel=0.03)
        assert "Butterworth of order 1" in status["filter"][0]
        settled = [grey(next(pictures)) for _ in range(120)]
    assert max(before) < 113
    assert np.ptp(settled[-60:]) > 40.0  # 20 in, 80 at the rate that the filter was made for


def test_what_cannot_be_filtered_is_shown_as_it_is(shown):
    clip = Greys([100, 120] * 400, fps=50)
    said = []
    options = {"mode": "temporal", "band": "10,20", "filter": "butterworth", "say": said.append}
    session = made(clip, seconds=0.12, alpha=9.0, **options)
    with shown(session) as browser:
        status = browser.until(lambda status: status["warnings"])
        assert not status["magnifies"]
        assert "10 to 20 Hz needs more than 40 frames per second" in status["warnings"][0]
        with browser.pictures() as pictures:
            assert 98 < grey(next(pictures)) < 122
    assert said[0].startswith("warning: nothing is magnified")


def test_a_loop_begins_with_a_reference_of_its_own(shown):
    with shown(made(Greys([100] * 10 + [110] * 10, fps=100), loop=True)) as browser, browser.pictures() as pictures:
        for level in (150.0, 100.0, 150.0, 100.0):
            until(pictures, level)


def test_a_region_beside_the_source(shown):
    clip = Greys([100] + [110] * 1000, fps=100, size=(120, 160))
    session = made(clip, selection=select(160, 120, (0, 0, 40, 120), None), side_by_side=True)
    with shown(session) as browser, browser.pictures() as pictures:
        for picture in pictures:
            if abs(pixels(picture)[:, 165:195].mean() - 150.0) < 1.5:
                break
        found = pixels(picture)
    assert found.shape == (120, 320, 3)
    assert found[:, :155].mean() == pytest.approx(110.0, abs=1.5)
    assert found[:, 220:].mean() == pytest.approx(110.0, abs=1.5)


def test_sources_of_sixteen_bits(shown):
    clip = Greys([100] + [110] * 1000, fps=100, depth=16)
    with shown(made(clip)) as browser, browser.pictures() as pictures:
        until(pictures, 150.0)


def test_an_error_of_the_source_ends_it(shown):
    clip = Greys([100] * 5, fps=100)
    clip.failure = InputError("camera: the size changed")
    with shown(made(clip)) as browser:
        browser.thread.join(20)
        assert [str(error) for error in browser.errors] == ["camera: the size changed"]
