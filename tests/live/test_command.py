"""The command: its options, its one line for what cannot be, its summary, its signals."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from live.views import Browser
from written_videos import write_video

from lightning_mm.arguments import call
from lightning_mm.errors import InputError
from lightning_mm.live.command import live
from lightning_mm.video.opening import open_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of a grating that sways by 0.3 px at 5 Hz."""
    x = np.arange(64)[None, :, None] * np.ones((48, 1, 3))
    frames = [
        np.rint(128 + 80 * np.sin(2 * np.pi / 16 * (x - 0.3 * np.sin(2 * np.pi * 5.0 * n / 50)))).astype(np.uint8)
        for n in range(100)
    ]
    return str(write_video(tmp_path_factory.mktemp("clips") / "sway.mp4", frames, fps=50, crf="4"))


@pytest.fixture
def running(capsys):
    """Starts the command in a thread: its browser, once it says its address; and what it gave."""
    results, threads = [], []

    def start(*args, **options):
        def work():
            try:
                results.append(live(*args, port=0, method="linear", device="cpu", **options))
            except BaseException as error:
                results.append(error)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        said = ""
        while not (address := re.search(r"open (http://127\.0\.0\.1:\d+/)", said)):
            said += capsys.readouterr().out
            assert threads[-1].is_alive() or address, results
            time.sleep(0.01)
        return Browser(address[1]), results

    before = set(threading.enumerate())
    yield start
    for thread in threads:
        thread.join(30)
    assert set(threading.enumerate()) <= before


def ended(before):
    """Wait for the threads that were not there before; what ran in this process earlier may have left others."""
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert set(threading.enumerate()) <= before


def test_it_ends_with_the_clip_and_says_what_it_did(running, clip, capsys):
    before = set(threading.enumerate())
    browser, results = running(clip, alpha=4.0, scale=0.5)
    with browser.pictures() as pictures:
        assert len(next(pictures)) > 100
    browser.until(lambda status: status["shown"] > 0)
    ended(before)
    (done,) = results
    assert done.read <= 100
    assert done.shown + done.dropped == done.read > 80
    assert done.latency.p95 >= done.latency.median > 0.0
    out = capsys.readouterr().out
    assert f"{done.shown} frames shown, {done.dropped} dropped" in out
    assert "latency" in out


def test_it_ends_after_a_duration(running, clip):
    began, before = time.monotonic(), set(threading.enumerate())
    _, results = running(clip, loop=True, duration=0.5)
    ended(before)
    assert time.monotonic() - began > 0.5
    assert results[0].shown > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_as_wished_and_finish_the_recording(clip, capsys, tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here")
    record = tmp_path / "shown.mp4"
    seen = []

    def end():
        said = ""
        while not (address := re.search(r"open (http://\S+)", said)):
            said += capsys.readouterr().out
            time.sleep(0.01)
        browser = Browser(address[1])
        seen.append(browser.until(lambda status: status["tunings"] > 0 and status["shown"] > 60))
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=end)
    thread.start()
    handler = signal.getsignal(number)
    done = live(clip, method="linear", band="3,8", loop=True, port=0, record=record, device="cpu", scale=0.5)
    thread.join()
    assert signal.getsignal(number) is handler
    assert done.shown >= seen[0]["shown"]
    assert seen[0]["rate_hz"] == pytest.approx(50.0 / seen[0]["step"], rel=0.05)
    assert done.recorded == record
    assert len(list(open_clip(record))) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["shown.mp4"]


def refused(*args, **options):
    before = set(threading.enumerate())
    with pytest.raises(InputError) as caught:
        live(*args, **{"port": 0, "method": "linear", **options})
    assert "\n" not in str(caught.value)
    assert set(threading.enumerate()) <= before
    return str(caught.value)


def test_what_cannot_be_is_one_line(clip, tmp_path):
    assert "webcam:63" in refused("webcam:63")
    assert "no such file" in refused(str(tmp_path / "none.mp4"))
    assert "duration = 0" in refused(clip, duration=0.0)
    assert "duration = nan" in refused(clip, duration=float("nan"))
    assert "--band 3,25" in refused(clip, band="3,25")
    assert "--band 8,3" in refused(clip, band="8,3")
    assert "--order 9" in refused(clip, band="3,8", order=9)
    assert "order = 2" in refused(clip, mode="static", order=2)
    assert "alpha = -3" in refused(clip, alpha=-3.0)
    assert "roi" in refused(clip, roi="0,0,999,9")
    assert "crop" in refused(clip, crop="0,0,999,9")
    assert "device = 'nowhere'" in refused(clip, device="nowhere")
    assert "weights = nothing" in refused(clip, weights="nothing")
    assert "port = 70000" in refused(clip, port=70000)
    assert "cannot write '.txt'" in refused(clip, record=tmp_path / "a.txt")
    assert "the input itself" in refused(clip, record=Path(clip), overwrite=True)


def test_the_usual_filter_has_little_delay_and_bands_go_by_the_true_rate(running, clip):
    browser, _ = running(clip, band="500,700", fps=2000.0, loop=True, duration=1.8)
    status = browser.until(lambda status: status["tunings"] > 0)
    assert "Butterworth" in status["filter"][0]
    assert status["rate_hz"] == pytest.approx(2000.0 / status["step"], rel=0.01)


def test_other_hosts_are_warned_about(clip, capsys):
    live(clip, method="linear", port=0, host="0.0.0.0", duration=0.2)
    assert "host = 0.0.0.0: everyone who reaches this machine can watch" in capsys.readouterr().err
    live(clip, method="linear", port=0, host="127.0.0.1", duration=0.2)
    assert "everyone" not in capsys.readouterr().err


def test_it_is_parsed_from_words(clip, capsys):
    call(live, "live", [clip, "--method", "linear", "--port", "0", "--duration", "0.2", "--side_by_side", "true"])
    assert "frames shown" in capsys.readouterr().out
    with pytest.raises(InputError, match="no_option"):
        call(live, "live", [clip, "--no_option", "1"])
