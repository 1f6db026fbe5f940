"""The page in a browser: a clip that is uploaded comes back magnified, and no request leaves this machine.

The program runs in a process of its own, as a user runs it: Gradio leaves event loops behind that are closed by the
garbage collector only, with a warning each.
"""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import browser
import pytest

from lightning_mm.demo.command import demo
from lightning_mm.errors import InputError

needs_gradio = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="Gradio is not installed")
ROOT = Path(__file__).parents[2]
VIDEOS = "[...document.querySelectorAll('#player video')]"
PROGRAM = """
import sys
import torch
torch.set_num_threads(1)
from lightning_mm.demo.command import demo
demo(port=0, max_megabytes=1.0, max_seconds=1.0, max_side=96, weights="tiny", device="cpu")
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The program, and the page's address; it must end by a signal, and leave nothing behind."""
    temporary = tmp_path_factory.mktemp("temporary")
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"open (http://127\.0\.0\.1:\d+/)", line)
        assert address, line + process.communicate()[1]
        yield address[1], temporary
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in out + errors
        assert not [path.name for path in temporary.iterdir() if path.name.startswith("lightning-mm-demo")]
    finally:
        process.kill()
        process.communicate()


def status(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@needs_gradio
def test_names_of_others_and_files_of_others_are_refused(running):
    url, _ = running
    assert status(url) == 200
    assert status(url, Host=urlsplit(url).netloc.replace("127.0.0.1", "localhost")) == 200
    assert status(url, Host="evil.example") == 403
    assert status(url, Origin="http://evil.example") == 403
    assert status(f"{url}gradio_api/file=http://127.0.0.1:1/secret") == 403
    assert status(f"{url}gradio_api/file=/etc/passwd") in (403, 404)
    assert status(f"{url}docs") == status(f"{url}openapi.json") == 404


@needs_gradio
@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="Playwright is not installed")
def test_a_clip_that_is_uploaded_comes_back_magnified(running, clip, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)

    url, temporary = running
    asked, console, failed = [], [], []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: console.append(message.text) if message.type == "error" else None)
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(url)

        page.locator("#upload input[type=file]").set_input_files(
            {"name": "text.mp4", "mimeType": "video/mp4", "buffer": b"no video at all"}
        )
        error = page.locator("#taken .mm-error")
        error.wait_for()
        assert "text.mp4" in error.inner_text()
        assert "\n" not in error.inner_text()

        page.locator("#upload button[aria-label*=lear], #upload button[aria-label*=emove]").first.click()
        page.locator("#upload input[type=file]").set_input_files(clip)
        page.locator("#spectrum .main-svg").first.wait_for()
        taken = page.locator("#taken").inner_text()
        assert "96 x 72 pixels, 30 frames at 30 per second" in taken
        assert "cut to its first 1 s" in taken
        assert "scaled from 128 x 96 to 96 x 72" in taken
        assert "Suggested band" in page.locator("#found").inner_text()
        low, high = (float(page.locator(f"#{name} input").input_value()) for name in ("low", "high"))
        assert low < 3.0 < high

        page.locator("#roi textarea, #roi input").fill("0,0,999,9")
        page.locator("#magnify").click()
        page.locator("#ran .mm-error").wait_for()
        assert "must lie inside the frame of 96 x 72" in page.locator("#ran").inner_text()
        written = page.locator("#roi textarea, #roi input")
        picture = page.locator("#picture img")
        box = picture.bounding_box()
        scale = min(box["width"] / 96, box["height"] / 72)  # the picture is in the middle of its box
        corners = [
            {"x": box["width"] / 2 + scale * (x - 48), "y": box["height"] / 2 + scale * (y - 36)}
            for x, y in ((24.5, 4.5), (71.5, 67.5))
        ]
        picture.click(position=corners[0])
        expect(written).to_have_value("")
        picture.click(position=corners[1])
        expect(written).to_have_value(re.compile(r"\d+,\d+,\d+,\d+"))
        roi = written.input_value()
        assert [int(number) for number in roi.split(",")] == pytest.approx([24, 4, 48, 64], abs=1)

        page.get_by_label("linear (2012)").check()
        page.locator("#magnify").click()
        page.locator("#player video").first.wait_for()
        page.wait_for_function(f"{VIDEOS}.filter((video) => video.readyState >= 2 && video.videoWidth).length == 2")
        assert f"in the region of {roi.split(',')[2]} x" in page.locator("#ran").inner_text()
        sizes = page.evaluate(f"{VIDEOS}.map((video) => [video.videoWidth, video.videoHeight, video.duration])")
        assert sizes == [[96, 72, 1], [96, 72, 1]]
        page.locator(".mm-split").evaluate(
            "(slider) => { slider.value = 20; slider.dispatchEvent(new Event('input', { bubbles: true })) }"
        )
        assert "20%" in page.locator(".mm-after").evaluate("(video) => getComputedStyle(video).clipPath")
        page.locator(".mm-seek").evaluate(
            "(seek) => { seek.value = 0.5; seek.dispatchEvent(new Event('input', { bubbles: true })) }"
        )
        page.wait_for_function(f"{VIDEOS}.every((video) => video.paused && video.currentTime == 0.5)")
        assert page.locator(".mm-play").inner_text() == "Play"
        page.locator("#waveform .main-svg").first.wait_for()
        page.locator("#sliced img").wait_for()
        with page.expect_download() as download:
            page.locator("#download").click()
        download.value.save_as(tmp_path / "magnified.mp4")
        chromium.close()

    from lightning_mm.video.opening import open_clip

    magnified = list(open_clip(tmp_path / "magnified.mp4"))
    assert (len(magnified), magnified[0].shape) == (30, (72, 96, 3))
    elsewhere = [address for address in asked if not address.startswith((url, "data:", "blob:"))]
    assert elsewhere == []
    assert len(asked) > 20
    assert failed == []
    assert console == []
    assert [path for path in temporary.iterdir() if path.name.startswith("lightning-mm-demo")]


@needs_gradio
def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"port = \d+: .*in use; choose another --port"):
            demo(port=taken.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"port": -1}, "port = -1"),
        ({"host": "192.0.2.1"}, "host = 192.0.2.1"),
        ({"max_megabytes": 0.0}, "max_megabytes = 0"),
        ({"max_side": 3}, "max_side = 3"),
        ({"device": "nowhere"}, "device = 'nowhere'"),
        ({"weights": "nothing"}, "weights = 'nothing'"),
    ],
)
def test_options_that_cannot_be_are_one_line(options, reason):
    with pytest.raises(InputError, match=reason) as caught:
        demo(**{"port": 0, **options})
    assert "\n" not in str(caught.value)


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install 'lightning_mm\[demo\]'"):
        demo(port=0)
    assert "GRADIO_TEMP_DIR" not in os.environ
