"""The line of visual acceptability: its file, what it applies to, and that every report draws the one it was given."""

import dataclasses
import json

import pytest

from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.scatter import scatter
from lightning_mm.reporting.threshold import PAPER_THRESHOLD, VISUAL_THRESHOLD_SSIM, Threshold, interval_text
from lightning_mm.tracking.table import COLUMNS, trade_off

DIGEST = "9c1e77b0a2f4"  # of the fake sweep's validation pairs
ANCHORED = Threshold(0.92345, "anchored", "by three widths", (0.91, None), {"name": "synthetic", "digest": DIGEST})


def test_it_is_inclusive_and_absent_stays_absent():
    assert PAPER_THRESHOLD.value == VISUAL_THRESHOLD_SSIM == 0.966
    assert PAPER_THRESHOLD.reaches(0.966) is True
    assert PAPER_THRESHOLD.reaches(0.9659) is False
    assert PAPER_THRESHOLD.reaches(None) is None


@pytest.mark.parametrize(
    "threshold", [PAPER_THRESHOLD, ANCHORED, dataclasses.replace(ANCHORED, kind="calibrated", value=1.0)]
)
def test_a_file_gives_back_what_was_written(threshold, tmp_path):
    threshold.write(tmp_path / "new/threshold.json", how="somehow")
    assert Threshold.read(tmp_path / "new/threshold.json") == threshold
    assert json.loads((tmp_path / "new/threshold.json").read_text())["how"] == "somehow"


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (None, "no interval"),
        ((0.91, 0.94), "95 % interval 0.9100 to 0.9400"),
        ((0.91, None), "95 % interval from 0.9100 without a further bound"),
        ((None, 0.94), "95 % interval up to 0.9400 without a further bound"),
        ((None, None), "95 % interval without bounds"),
    ],
)
def test_an_interval_in_words(interval, text):
    assert interval_text(interval) == text


BAD = {
    "not JSON": ("{", "not valid JSON"),
    "a list": ("[]", "not a threshold"),
    "another schema": ('{"schema": 2, "kind": "paper", "value": 0.9}', "not a threshold"),
    "another kind": ('{"schema": 1, "kind": "guessed", "value": 0.9}', "not a threshold"),
    "no value": ('{"schema": 1, "kind": "paper"}', "value = None"),
    "too large": ('{"schema": 1, "kind": "paper", "value": 1.5}', "value = 1.5"),
    "not finite": ('{"schema": 1, "kind": "paper", "value": NaN}', "value = nan"),
    "one end": ('{"schema": 1, "kind": "paper", "value": 0.9, "interval": [0.8]}', "interval = [0.8]"),
    "no interval": ('{"schema": 1, "kind": "paper", "value": 0.9, "interval": 0.1}', "interval = 0.1"),
    "no digest": ('{"schema": 1, "kind": "paper", "value": 0.9, "validation": {}}', "validation = {}"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_threshold_is_refused_by_name(name, tmp_path):
    text, said = BAD[name]
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(InputError) as error:
        Threshold.read(tmp_path / "bad.json")
    assert "bad.json" in str(error.value)
    assert said in str(error.value)


def test_page_and_figure_draw_the_line_they_are_given(fake):
    fake.trial(0, 0.91, decoder_depth=2)
    fake.trial(1, 0.93, decoder_depth=4)
    sweep = collect(fake.directory, ANCHORED)
    html = page(sweep)
    assert "1 of 2 trained models reaches the anchored SSIM of 0.9234" in html
    assert "The 0.9234 line is an anchored visual threshold (by three widths; 95 % interval from 0.9100 without" in html
    assert "0.966" not in html
    figure = scatter(sweep)
    assert 0.92345 in [shape.y0 for shape in figure.layout.shapes if shape.type == "line"]
    (band,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert (band.y0, band.y1) == (0.91, figure.layout.yaxis.range[1])
    assert "anchored threshold<br><b>0.9234</b>" in [note.text for note in figure.layout.annotations]
    rows = trade_off(sweep)
    assert [row["reaches_threshold"] for row in rows] == [True, False]
    assert {(row["threshold"], row["threshold_kind"]) for row in rows} == {(0.92345, "anchored")}
    assert set(rows[0]) == set(COLUMNS)


def test_the_command_draws_the_line_of_a_file(fake, tmp_path, capsys):
    fake.trial(0, 0.93)
    ANCHORED.write(tmp_path / "threshold.json")
    assert main(["report", str(fake.directory), "--threshold", str(tmp_path / "threshold.json")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "≥ 0.9234" in out
    assert "anchored visual threshold" in out
    assert main(["report", str(fake.directory)]) == 0
    assert "the paper's visual threshold (Section 4.2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", [["report"], ["publish", "--dry_run=true"]])
def test_a_line_of_other_pairs_is_refused_by_name(command, fake, tmp_path, capsys):
    fake.trial(3, 0.93)
    other = dataclasses.replace(ANCHORED, validation={"digest": "000000000000"})
    other.write(tmp_path / "threshold.json")
    args = [command[0], str(fake.directory), *command[1:], f"--threshold={tmp_path / 'threshold.json'}"]
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    for part in ("anchored threshold 0.9234", "000000000000", "trial 0003", DIGEST):
        assert part in err
    assert not (fake.directory / "report.html").exists()
    assert not (fake.directory / "publish").exists()


def test_a_missing_file_is_refused(fake, capsys):
    fake.trial(0, 0.93)
    assert main(["report", str(fake.directory), "--threshold=none.json"]) == 2
    assert "none.json: no such file" in capsys.readouterr().err
