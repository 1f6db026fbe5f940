"""The page in a browser: no error, everything drawn, and rows that sort and unfold to exact configurations."""

from html.parser import HTMLParser

import browser
import pytest
import yaml

from lightning_mm.models import MagnifierConfig
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.report import report

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium on this machine")


class Dom(HTMLParser):
    """What the browser made of a page: identifiers, dashed lines, texts, names of rows, unfolded configurations."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.dashed, self.texts, self.configs, self.rows, self.stack = set(), [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag == "path" and "stroke-dasharray" in attrs.get("style", ""):
            self.dashed.append(attrs["style"])
        self.stack.append((tag, attrs.get("class", "")))
        if attrs.get("class") == "config":
            self.configs.append("")
        if attrs.get("class") == "open":
            self.rows.append("")

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self.stack or self.stack[-1][0] in ("script", "style"):
            return
        if self.stack[-1][1] == "config":
            self.configs[-1] += data
        elif self.stack[-1][1] == "open":
            self.rows[-1] += data
        self.texts.append(data)


@pytest.fixture
def opened(tmp_path):
    """Opens a page, with a script behind it: the DOM and what the browser's console says."""

    def load(path, script=""):
        page = tmp_path / "page.html"
        page.write_text(path.read_text(encoding="utf-8") + f"<script>{script}</script>", encoding="utf-8")
        html, console = browser.dump(page.as_uri(), tmp_path / "profile")
        return Dom(html), console

    return load


def test_errors_would_be_seen(tmp_path, opened):
    (tmp_path / "broken.html").write_text("<!doctype html><p>text</p>")
    _, console = opened(tmp_path / "broken.html", "document.nowhere.call()")
    assert len(console) == 1
    assert "TypeError" in console[0]


def test_a_sweep_with_seeds_is_drawn_sorted_and_unfolded(fake, opened):
    for number, depth in enumerate((4, 12, 6)):
        config = {"seed_everything": 0, "model": {"arch": {"decoder_depth": depth}}, "data": {"photos": "a & <b>"}}
        scores = [0.90 + 0.01 * number, 0.92 + 0.01 * number]
        fake.seeds(
            f"trials/{number:04d}", scores, overrides={"model.arch.decoder_depth": depth}, config=config,
            latency=depth + 1.0,
        )  # fmt: skip
    fake.seeds("references/proposed", [0.915, 0.925], role="reference")
    times = {"started": "2026-11-25T10:00:00", "state": "complete"}
    trials = [
        {"number": i, "run": f"trials/{i:04d}", "values": [0.91 + 0.01 * i, 5.0], "ended": f"2026-11-25T10:0{i + 1}:00"}
        | times
        for i in range(3)
    ]
    fake.sweep_file(objectives=["ssim", "flops"], trials=trials)
    click = "document.querySelectorAll('.open').forEach((b) => b.click());"
    click += "document.querySelectorAll('#runs thead button')[4].click();"  # by FLOPs, most first
    dom, console = opened(report(fake.directory), click)
    assert console == []
    assert {"scatter", "scatter-latency", "parallel", "progress"} <= dom.ids
    assert dom.rows == ["proposed", "trial 0001", "trial 0002", "trial 0000"]
    models = {model.label: model for model in collect(fake.directory).models}
    shown = dict(zip(["trial 0001", "trial 0002", "trial 0000"], dom.configs, strict=True))
    for label, text in shown.items():
        assert yaml.safe_load(text) == models[label].results.config
    assert "bottleneck 1/4" in dom.texts
    # The paper's line, in its colour, in each of the two scatters.
    assert sum("163, 25, 91" in style for style in dom.dashed) == 2
    assert dom.texts.count("paper's threshold") == 2
    assert dom.texts.count("0.966") >= 2


def test_a_budget_study_is_drawn_with_its_bound(fake, opened):
    fake.references()
    trials = []
    for number, (depth, state) in enumerate(((4, "complete"), (12, "complete"), (20, "pruned"), (36, "infeasible"))):
        trials.append({"number": number, "run": f"trials/{number:04d}", "state": state})
        trials[-1] |= {"started": "2026-11-25T10:00:00", "ended": f"2026-11-25T10:{number + 1:02d}:00"}
        if state == "complete":
            fake.trial(number, 0.90 + 0.01 * number, decoder_depth=depth)
            trials[-1]["values"] = [0.90 + 0.01 * number]
    fake.sweep_file(objectives=["ssim"], constraints={"flops": 10.0}, target_trials=4, trials=trials)
    dom, console = opened(report(fake.directory))
    assert console == []
    assert {"scatter", "progress", "importances"} <= dom.ids
    assert "bound of the search: 10 G" in dom.texts
    assert "paper's threshold" in dom.texts
    assert "best SSIM so far" in dom.texts


def test_a_comparison_is_drawn(fake, opened):
    fake.seeds("proposed", [0.94, 0.941, 0.942], role="run")
    fake.seeds("found", [0.95, 0.951, 0.952], role="run", arch=MagnifierConfig(decoder_depth=9))
    fake.run("once", 0.93, role="run", arch=MagnifierConfig(decoder_depth=5))
    dom, console = opened(report(fake.directory, compare=True))
    assert console == []
    assert {"comparison", "compared", "scatter"} <= dom.ids
    assert "too few seeds for an interval" in dom.texts
