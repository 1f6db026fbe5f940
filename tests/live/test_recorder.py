"""Recordings keep time: pictures that came unevenly are where they were."""

import threading

import numpy as np
import pytest
from live.views import Greys

from lightning_mm.errors import InputError
from lightning_mm.live.recorder import Recorder
from lightning_mm.video.opening import open_clip


def picture(level):
    return np.full((16, 32, 3), level, np.uint8)


def recorded(path, times, fps=10.0):
    """Pictures of levels 20, 30, ...; what the clip shows, and the recorder."""
    recorder = Recorder(path)
    recorder.begin(fps)
    for number, time in enumerate(times):
        recorder.add(picture(20 + 10 * number), 100.0 + time)
    assert recorder.finish() == []
    return [round((frame.mean() - 20) / 10) for frame in open_clip(path)], recorder


def test_even_pictures_are_kept_one_by_one(tmp_path):
    shown, recorder = recorded(tmp_path / "a.mp4", np.arange(12) / 10)
    assert shown == list(range(12))
    assert (recorder.fps, recorder.frames, threading.active_count()) == (10, 12, threading.active_count())
    assert open_clip(tmp_path / "a.mp4").fps == 10


def test_pictures_are_repeated_until_the_next_and_left_out_where_two_have_one_time(tmp_path):
    shown, _ = recorded(tmp_path / "a.mp4", [0.0, 0.11, 0.42, 0.44, 0.49, 0.62])
    #                          time of a frame: 0  1  2  3  4  5  6
    assert shown == [0, 1, 1, 1, 2, 4, 5]


def test_a_pause_is_left_out(tmp_path):
    shown, _ = recorded(tmp_path / "a.mp4", [0.0, 0.1, 0.2, 50.2, 50.3, 50.4])
    assert shown == [0, 1, 2, 3, 4, 5]


def test_rates_of_any_kind(tmp_path):
    _, recorder = recorded(tmp_path / "a.mp4", np.arange(20) / 29.97, fps=29.971)
    assert float(open_clip(tmp_path / "a.mp4").fps) == pytest.approx(29.97, abs=0.01)
    assert recorder.frames == 20


def test_nothing_shown_is_said(tmp_path):
    (line,) = Recorder(tmp_path / "a.mp4").finish()
    assert "not written" in line
    assert list(tmp_path.iterdir()) == []


def test_a_clip_that_cannot_be_written_is_an_error_and_blocks_nobody(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"mine")
    recorder = Recorder(tmp_path / "a.mp4")
    recorder.begin(10.0)

    def record_much():
        for number in range(100):
            recorder.add(picture(10), number / 10)

    with pytest.raises(InputError, match=r"a\.mp4"):
        record_much()
    with pytest.raises(InputError, match=r"a\.mp4"):
        recorder.finish()
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"


def test_a_live_view_is_recorded_as_it_was_shown(tmp_path, shown):
    from live.views import Plain

    from lightning_mm.live.session import Session
    from lightning_mm.magnification.motions import make_plan
    from lightning_mm.magnification.selection import everything

    clip = Greys([100] * 3 + [110] * 5000, fps=100)
    recorder = Recorder(tmp_path / "a.mp4")
    session = Session(
        clip, 100.0, Plain(), make_plan(5.0), everything(clip.width, clip.height), side_by_side=True, recorder=recorder
    )
    with shown(session) as browser:
        browser.until(lambda status: recorder.frames > 20)
    found = open_clip(tmp_path / "a.mp4")
    assert (found.width, found.frames) == (64, recorder.frames)
    assert session.recorded == tmp_path / "a.mp4"
    last = list(found)[-1]
    assert (last[:, :28].mean(), last[:, 36:].mean()) == pytest.approx((110, 150), abs=2)
