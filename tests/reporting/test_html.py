import re
from html.parser import HTMLParser

import pytest

from lightning_mm.errors import InputError
from lightning_mm.reporting.axes import axis_of
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.parallel import parallel_coordinates
from lightning_mm.reporting.placement import Box, place_label, spread
from lightning_mm.reporting.report import report
from lightning_mm.reporting.scatter import below_view, scatter


class Page(HTMLParser):
    """What a browser would show and load; the content of scripts and styles is left out."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.inside = [], [], None
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.words.append(data)

    def ids(self):
        return {attrs.get("id") for _, attrs in self.tags}


def shown(directory):
    return Page(page(collect(directory)))


def test_page_says_everything(sweep_dir):
    got = shown(sweep_dir)
    for run in ("trial 0000", "trial 0001", "trial 0002", "proposed", "baseline", "return frame B", "linear Eulerian"):
        assert run in got.text
    assert "cheapest first: trial 0000, trial 0001, baseline." in got.text
    assert "1 of 3 trials dominates the hand-designed model" in got.text
    assert "--model.arch.decoder_depth=12" in got.text
    assert "FLOPs (paper's count) [G]" in got.text
    assert "loss is not finite at step 12" in got.text
    assert "SSIM of the test, fingerprint 3fa91b22c0de" in got.text
    for part in ("300", "2,400", "32-true", "Test Processor", "0123456789abcdef+changes", "torch 2.13.0"):
        assert part in got.text
    assert "no verdict on the architectures" in got.text
    assert "warning" not in got.ids()
    rows = ("frame A", "frame B", "target", "hand-designed: proposed", "baseline", "trial 0000", "trial 0001")
    alts = [attrs["alt"] for tag, attrs in got.tags if tag == "img"]
    assert alts == [f"{row}, pair {pair}" for row in rows for pair in (1, 2, 3, 4)]


def test_nothing_is_loaded_from_elsewhere(sweep_dir):
    got = shown(sweep_dir)
    sources = [attrs[key] for _, attrs in got.tags for key in ("src", "href", "action", "data") if key in attrs]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not [tag for tag, _ in got.tags if tag in ("link", "iframe", "object", "embed")]
    policy = next(attrs["content"] for _, attrs in got.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    own = page(collect(sweep_dir)).split("<style>")[1].split("</style>")[0]
    assert "url(" not in own
    assert "@import" not in own


def test_plotly_is_inlined_once(sweep_dir):
    html = page(collect(sweep_dir))
    assert html.count("* plotly.js v") == 1
    assert len(html) < 8e6


def test_scatter_has_the_threshold_and_the_floors(sweep_dir):
    figure = scatter(collect(sweep_dir))
    levels = {shape.y0: shape.line.dash for shape in figure.layout.shapes}
    assert levels == {0.8712: "dot", 0.8641: "dot", 0.966: "dash"}
    notes = [a.text for a in figure.layout.annotations]
    assert "paper's threshold<br><b>0.966</b>" in notes
    assert "<b>proposed</b>" in notes
    assert figure.layout.xaxis.type == "log"
    symbols = {trace.name: trace.marker.symbol for trace in figure.data}
    assert len({symbols["hand-designed model"], symbols["baseline (Oh et al.)"], symbols["bottleneck 1/4"]}) == 3
    (hover,) = next(trace.hovertext for trace in figure.data if trace.name == "bottleneck 1/2")
    assert "encoder = residual" in hover
    low, high = figure.layout.yaxis.range
    assert low < 0.8641
    assert high > 0.966


def cells(html, label):
    """Texts of the cells of a model's row by the header above them."""
    table = html.split('<table id="runs">')[1].split("</table>")[0]
    names = [" ".join(Page(cell).text.split()) for cell in table.split("</thead>")[0].split("</th>")[:-1]]
    row = next(part for part in table.split("<tr>") if f">{label}</button>" in part).split("</tr>")[0]
    return dict(zip(names, [Page(cell).text for cell in re.split("</t[hd]>", row)[:-1]], strict=True))


def test_each_number_stands_below_its_header(fake):
    overrides = {"model.arch.encoder": "residual", "model.arch.decoder_depth": 9}
    fake.seeds("trials/0004", [0.90, 0.94], overrides=overrides, latency=12.5, lpips=0.25)
    fake.seeds("references/proposed", [0.93, 0.95], role="reference", latency=20.0)
    html = page(collect(fake.directory))
    row = cells(html, "trial 0004")
    assert {name.replace(" ", ""): text for name, text in row.items()} == {
        "run": "trial 0004",
        "seeds": "2",
        "SSIM": "0.9200 ± 0.0283",
        "SSIMminushand-designed": "\N{MINUS SIGN}0.0200",
        "FLOPs(paper'scount)[G]": "6.27",
        "latency[ms]": "12.50",
        "parameters": "257,859",
        "PSNR[dB]": "27.12 ± 0.00",
        "LPIPS": "0.2500 ± 0.0000",
        "Paretofront": "●",
        "≥0.966": "no",
        "encoder": "residual",
        "decoder_depth": "9",
    }
    assert cells(html, "proposed")["SSIM minus hand-designed"] == "reference"


def test_diverged_run_does_not_flatten_the_scale(sweep_dir, fake):
    fake.trial(9, 0.02, decoder_depth=3)
    sweep = collect(sweep_dir)
    assert [model.label for model in below_view(sweep)] == ["trial 0009"]
    assert scatter(sweep).layout.yaxis.range[0] > 0.8
    assert "Below the axis : trial 0009 (SSIM 0.0200)" in Page(page(sweep)).text


def test_parallel_coordinates_need_two_trials(sweep_dir, fake):
    assert len(parallel_coordinates(collect(sweep_dir)).data) == 3
    for number in (1, 2):
        (sweep_dir / f"trials/{number:04d}/results.json").unlink()
    assert parallel_coordinates(collect(sweep_dir)) is None
    assert "parallel" not in shown(sweep_dir).ids()


def test_data_is_escaped(fake):
    evil = "<img src=http://evil.example/x onerror=alert(1)></script>"
    fake.run("trials/0000", 0.9, overrides={"model.arch.encoder": "linear", f"data.{evil}": evil})
    fake.run("trials/0001", 0.8, overrides={"model.arch.encoder": "linear", f"data.{evil}": "'\"&"})
    fake.run("references/proposed", 0.85, role=evil)
    for number in range(2):
        fake.run(f"{number}", 0.9, role="run", latency=1.0, device=evil, config={evil: [evil]}, batch_size=evil)
    fake.sweep_file(name=evil, description=evil, failures=[{"number": evil, "reason": evil}], counts={evil: 1})
    html = page(collect(fake.directory))
    assert "<img src=http" not in html
    got = Page(html)
    assert got.text.count(evil) > 5
    assert all(attrs.get("src", "").startswith("data:") for tag, attrs in got.tags if tag == "img")
    assert sum(tag == "script" for tag, _ in got.tags) == 6  # plotly.js, three figures, configurations, report.js


def test_warning_when_budgets_differ(sweep_dir, fake):
    fake.run("trials/0003", 0.95, steps=600, samples=4800)
    got = shown(sweep_dir)
    assert "warning" in got.ids()
    assert "steps: 300 (5 runs); 600 (trial 0003)" in got.text
    assert "separately, on another budget: trial 0003" in got.text
    assert "Judged here are the 5 of 6 models" in got.text
    assert "1 of 3 trials dominates" in got.text


def test_without_sweep_file(sweep_dir):
    (sweep_dir / "sweep.json").unlink()
    got = shown(sweep_dir)
    assert "trial 0002" in got.text
    assert "asked for" not in got.text


@pytest.mark.parametrize(("role", "ssim"), [("run", 0.97), ("trial", 0.97), ("reference", 0.97), ("run", None)])
def test_one_run_alone(fake, role, ssim):
    fake.run("only", ssim, role=role, samples=10_000_000)
    got = shown(fake.directory)
    assert "only" in got.text
    assert "no verdict on the architectures" not in got.text
    assert ("reaches the paper's SSIM of 0.966 (only)" in got.text) is (ssim is not None)


def test_absent_metric_has_its_reason(fake):
    fake.run("trials/0000", 0.9, lpips=None, absent={"lpips": "weights are missing"})
    got = shown(fake.directory)
    assert "LPIPS absent (all runs): weights are missing" in got.text
    assert any(attrs.get("title") == "weights are missing" for _, attrs in got.tags)


def test_missing_sample_image_is_said(sweep_dir):
    (sweep_dir / "references/baseline/samples.png").unlink()
    got = shown(sweep_dir)
    assert sum(tag == "img" for tag, _ in got.tags) == 24
    assert "Without images, as their runs left no samples.png that can be read: baseline." in got.text


def test_report_prints_and_writes(sweep_dir, tmp_path, capsys):
    path = report(sweep_dir)
    assert path == sweep_dir / "report.html"
    assert re.match("<!doctype html>", path.read_text(encoding="utf-8"))
    out = capsys.readouterr().out
    assert "trial 0001" in out
    assert f"Report: {path}" in out
    assert not list(sweep_dir.glob(".*tmp"))
    assert report(sweep_dir, tmp_path / "new/other.html").is_file()


def test_report_on_wrong_input(sweep_dir, tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        report(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write the report"):
        report(sweep_dir, tmp_path / "file/report.html")


def test_axis_of_few_values_of_words_and_of_many_numbers():
    few = axis_of("depth", [36, 4, None, 12])
    assert few.positions == [1.0, 0.0, None, 0.5]
    assert few.ticks == [(0.0, "4"), (0.5, "12"), (1.0, "36")]
    words = axis_of("encoder", ["linear", "residual", "linear"])
    assert [label for _, label in words.ticks] == ["linear", "residual"]
    assert words.positions[0] > words.positions[2]  # fanned out, the better run on top
    assert axis_of("flag", [True, False, True]).ticks[0][1] == "False"
    rates = axis_of("rate", [10.0**-e for e in range(1, 11)])
    assert rates.positions[0] == pytest.approx(1.0)
    assert rates.positions[9] == pytest.approx(0.0)
    assert axis_of("same", [2.0, 2.0], continuous=True).positions == [0.5, 0.5]
    assert axis_of("none", [None, None]).positions == [None, None]


def test_labels_do_not_cover_anything():
    taken = [Box(90, 90, 110, 110), Box(60, 110, 140, 150)]
    place = place_label((100, 100), 50, taken, (200, 200))
    assert place is not None
    assert not any(place.box.overlaps(other) for other in taken)
    assert place_label((100, 100), 300, taken, (200, 200)) is None


def test_spread_keeps_order_and_gap():
    moved = spread([10.0, 200.0, 12.0, 11.0], 20)
    assert moved == pytest.approx([-9.0, 200.0, 31.0, 11.0])
