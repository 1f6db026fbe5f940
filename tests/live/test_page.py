"""The page in a browser: pictures are drawn, the slider moves the factor, and no request leaves this machine."""

import importlib.util

import browser
import pytest
from live.views import Greys, Plain

from lightning_mm.live.session import Session
from lightning_mm.magnification.motions import make_plan
from lightning_mm.magnification.selection import everything

pytestmark = [
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="Playwright is not installed"),
]

# The mean grey of what the browser shows.
SHOWN = """() => {
  const canvas = document.createElement("canvas"), picture = document.getElementById("picture");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data[0];
}"""


def shows(page, level):
    for _ in range(300):
        if abs(page.evaluate(SHOWN) - level) <= 2:
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{page.evaluate(SHOWN)} is shown instead of {level}")


def test_the_page_shows_pictures_and_moves_the_factor(shown):
    from playwright.sync_api import expect, sync_playwright

    clip = Greys([100] + [110] * 20_000, fps=50)
    session = Session(clip, 50.0, Plain(), make_plan(2.0), everything(clip.width, clip.height))
    asked, console = [], []
    with shown(session) as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = chromium.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: console.append(message.text))
        page.goto(server.url)
        expect(page.locator("#state")).to_have_text("running")
        shows(page, 120)
        page.locator("#alpha").fill("6")
        shows(page, 160)
        assert session.controls.alpha == 6.0
        expect(page.locator("#alpha-number")).to_have_value("6")
        page.locator("#pause").click()
        expect(page.locator("#state")).to_have_text("paused")
        page.locator("#pause").click()
        page.locator("#reference").click()
        shows(page, 110)
        expect(page.locator("#latency")).to_contain_text("ms median")
        expect(page.locator("#dropped")).to_contain_text(" of ")
        assert page.locator("#band").is_hidden()
        chromium.close()
    assert all(address.startswith((server.url, "data:")) for address in asked)
    assert console == []
