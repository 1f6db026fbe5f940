"""The command: what it prints and writes, and how it refuses."""

import csv
import re
import shlex
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_mm.cli import main

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
from lightning_mm.measuring.bands import BandSearch
from lightning_mm.measuring.command import measure
from lightning_mm.measuring.motion import MotionTracker
from lightning_mm.video.opening import open_clip

CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
FPS, FREQUENCY, FRAMES = 60.0, 7.0, 60
SWING = np.sin(2.0 * np.pi * FREQUENCY * np.arange(FRAMES) / FPS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, pictures):
    """A clip that swings by (0.3, 0.1) px, and one that swings four times as much from frame 10 on."""
    folder = tmp_path_factory.mktemp("clips")
    settled = np.where(np.arange(FRAMES) < 10, 1.0, 4.0)
    for name, factor in (("input", np.ones(FRAMES)), ("magnified", settled)):
        pictures.folder(folder / name, pictures.clip([(0.3 * s, 0.1 * s) for s in factor * SWING]))
    return folder


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_region_as_a_table_and_in_millimetres(clips, tmp_path, capsys):
    outputs = {"csv": tmp_path / "a" / "motion.csv", "spectrum_csv": tmp_path / "spectrum.csv"}
    found = measure(str(clips / "input"), fps=FPS, known_length="50,4", **outputs)
    said = capsys.readouterr().out
    assert "60 frames at 60 fps" in said
    assert re.search(r"strongest component: 7\.0\d Hz, 0\.63\d px \(0\.05\d* mm\) peak-to-peak", said)
    rows = rows_of(outputs["csv"])
    assert len(rows) == FRAMES
    assert [float(row["time_s"]) for row in rows] == pytest.approx([n / FPS for n in range(FRAMES)], abs=1e-6)
    x, y, mm = (np.array([float(row[key]) for row in rows]) for key in ("x_px", "y_px", "x_mm"))
    np.testing.assert_allclose(x, 0.3 * SWING, atol=0.01)
    np.testing.assert_allclose(y, 0.1 * SWING, atol=0.01)
    np.testing.assert_allclose(mm, 0.08 * x, atol=1e-5)
    np.testing.assert_allclose(np.stack([x, y], axis=1), found.motion.displacement, atol=1e-5)
    spectrum = rows_of(outputs["spectrum_csv"])
    best = max(spectrum, key=lambda row: float(row["x_px"]))
    assert float(best["frequency_hz"]) == FREQUENCY
    assert float(best["x_px"]) == pytest.approx(0.3, rel=0.02)
    assert float(best["y_mm"]) == pytest.approx(0.08 * 0.1, rel=0.04)
    assert 0.0 < float(best["floor_px"]) < 0.02


def test_grid_as_a_table(clips, tmp_path, capsys):
    outputs = {"csv": tmp_path / "motion.csv", "spectrum_csv": tmp_path / "spectrum.csv"}
    measure(str(clips / "input"), grid="3x2", roi="16,16,96,64", fps=FPS, **outputs)
    assert "6 points: 6 followed" in capsys.readouterr().out
    rows = rows_of(outputs["csv"])
    assert len(rows) == 6 * FRAMES
    last = [row for row in rows if row["point"] == "5"]
    assert (float(last[0]["point_x"]), float(last[0]["point_y"])) == (95.5, 63.5)
    assert {row["kind"] for row in rows} == {"corner"}
    np.testing.assert_allclose([float(row["x_px"]) for row in last], 0.3 * SWING, atol=0.02)
    spectrum = rows_of(outputs["spectrum_csv"])
    assert {row["point"] for row in spectrum} == {"all", *"012345"}
    best = max((row for row in spectrum if row["point"] == "all"), key=lambda row: float(row["x_px"]))
    assert float(best["frequency_hz"]) == FREQUENCY
    assert float(best["x_px"]) == pytest.approx(0.3, rel=0.03)


def test_comparison_says_how_much_was_magnified(clips, tmp_path, capsys):
    page, picture = tmp_path / "page.html", tmp_path / "slice.png"
    found = measure(
        str(clips / "input"), fps=FPS, compare=clips / "magnified", csv=tmp_path / "both.csv", slice="y=40",
        slice_image=picture, report=page,
    )  # fmt: skip
    assert found.comparison.ratio == pytest.approx(4.0, rel=0.02)
    assert found.comparison.frequency == pytest.approx(FREQUENCY, abs=0.05)
    np.testing.assert_allclose(found.comparison.direction, np.array([3.0, 1.0]) / np.sqrt(10.0), atol=0.02)
    assert re.search(r"magnified (3\.9\d|4\.0\d) times", capsys.readouterr().out)
    rows = rows_of(tmp_path / "both.csv")
    np.testing.assert_allclose([float(row["magnified_x_px"]) for row in rows[10:]], 1.2 * SWING[10:], atol=0.02)
    drawn = np.asarray(Image.open(picture))
    frames = [np.asarray(Image.open(clips / name / "0012.png")) for name in ("input", "magnified")]
    strip = (drawn.shape[0] - 2 * 128) // 3
    column = 12 * (drawn.shape[1] // FRAMES)
    for top, frame in zip((strip, 2 * strip + 128), frames, strict=True):
        np.testing.assert_array_equal(drawn[top : top + 128, column], frame[40])
    text = page.read_text()
    assert '"name":"magnified"' in text
    assert 'alt="slice"' in text


def test_page_of_a_grid_with_a_suggestion(clips, tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    measure(str(clips / "input"), grid="24", fps=FPS, suggest_band=True, mm_per_px=0.5, report=page)
    said = capsys.readouterr().out
    command = next(line for line in said.splitlines() if line.startswith("lightning-mm magnify"))
    words = shlex.split(command)
    assert words[2:4] == [str(clips / "input"), "input_magnified"]
    low, high = (float(edge) for edge in words[words.index("--band") + 1].split(","))
    assert (low, high) == pytest.approx((0.785 * FREQUENCY, 1.215 * FREQUENCY), abs=0.15)
    assert words[-2:] == ["--fps", "60"]
    text = page.read_text()
    assert "Not a calibrated or medical device" in text
    for part in ("where", "waveform", "spectrum"):
        assert f'<section id="{part}">' in text
    (cells,) = re.findall(r'id="peaks">.*?</tr><tr>(.*?)</tr>', text)
    frequency, _, px, mm, _ = (float(cell) for cell in re.findall(r"<td>(.*?)</td>", cells))
    assert frequency == pytest.approx(FREQUENCY, abs=0.05)
    assert px == pytest.approx(np.hypot(0.3, 0.1), rel=0.03)
    assert mm == pytest.approx(0.5 * px, rel=1e-3)
    assert not re.search(r"(src|href)=.?https?:", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))


def test_still_clip_has_no_band(tmp_path, pictures, capsys):
    folder = pictures.folder(tmp_path / "still", pictures.clip([(0.0, 0.0)] * 20))
    assert main(["measure", str(folder), "--suggest_band", "true"]) == 0
    said = capsys.readouterr().out
    assert "suggested band: none" in said
    assert "magnify" not in said


def test_flat_clip_may_be_searched_but_not_measured(tmp_path, pictures, capsys):
    levels = (128 + np.rint(20 * np.sin(2.0 * np.pi * np.arange(40) / 5.0))).astype(np.uint8)
    folder = pictures.folder(tmp_path / "flat", [np.full((32, 40, 3), level, np.uint8) for level in levels])
    assert main(["measure", str(folder), "--suggest_band", "true", "--fps", "50"]) == 0
    said = capsys.readouterr().out
    assert "around 10 Hz" in said
    assert "brightness" in said
    assert main(["measure", str(folder)]) == 2
    assert main(["measure", str(folder), "--suggest_band", "true", "--csv", str(tmp_path / "x.csv")]) == 2
    assert main(["measure", str(folder), "--grid", "3x3"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "no corner to track" in errors[0]
    assert "none of the 9 points" in errors[2]
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--roi", "1,2,3"], "X,Y,WIDTH,HEIGHT"),
        (["--roi", "100,0,64,10"], "inside"),
        (["--roi", "0,0,0,5"], "inside"),
        (["--grid", "100x90"], "9000 points"),
        (["--grid", "3x3", "--compare", "CLIP"], "leave out --grid"),
        (["--mm_per_px", "0"], "mm_per_px = 0.0: must be a number above 0"),
        (["--mm_per_px", "1", "--known_length", "1,2"], "one of the two"),
        (["--known_length", "12"], "must be PX,MM"),
        (["--known_length", "12,-3"], "above 0"),
        (["--slice", "y=3"], "--slice_image or --report"),
        (["--slice", "y=300", "--slice_image", "OUT/s.png"], "rows 0 to 95"),
        (["--slice_image", "OUT/s.png"], "needs a slice"),
        (["--slice_image", "OUT/s.jpg", "--slice", "y=3"], ".png"),
        (["--report", "OUT/page.pdf"], "must be the name of a .html file"),
        (["--csv", "OUT/same.csv", "--spectrum_csv", "OUT/same.csv"], "as well"),
        (["--csv", "OUT/there.csv"], "exists already"),
        (["--csv", "OUT/there.csv/below.csv"], "not a folder"),
        (["--fps", "-1"], "fps"),
        (["--compare", "SMALL"], "must be of one size"),
    ],
)
def test_bad_options_are_refused_in_one_line(clips, tmp_path, pictures, options, said, capsys):
    (tmp_path / "there.csv").write_text("mine")
    pictures.folder(tmp_path / "small", pictures.clip([(0.0, 0.0)] * 4, width=64))
    names = {"OUT": str(tmp_path), "CLIP": str(clips / "magnified"), "SMALL": str(tmp_path / "small")}
    before = sorted(tmp_path.iterdir())
    words = [re.sub("OUT|CLIP|SMALL", lambda match: names[match[0]], word) for word in options]
    assert main(["measure", str(clips / "input"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_what_is_there_is_replaced_when_asked_for(clips, tmp_path):
    table = tmp_path / "there.csv"
    table.write_text("old")
    assert (
        main(["measure", str(clips / "input"), "--csv", str(table), "--overwrite", "true", "--roi", "8,8,60,60"]) == 0
    )
    assert table.read_text().startswith("frame,time_s,x_px,y_px,features\n0,")


def test_lost_in_the_magnified_clip_is_said(clips, tmp_path, pictures, capsys):
    frames = [pictures.rgb(pictures.texture(96, 128, seed=n)) for n in range(FRAMES)]
    broken = pictures.folder(tmp_path / "broken", frames)
    assert main(["measure", str(clips / "input"), "--compare", str(broken), "--roi", "30,30,20,20"]) == 2
    assert "magnified frames only" in capsys.readouterr().err


def test_without_opencv(clips, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["measure", str(clips / "input")]) == 2
    error = capsys.readouterr().err
    assert "lightning_mm[measure]" in error
    assert error.count("\n") == 1


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the development clips are not there")
@pytest.mark.parametrize(
    ("name", "fps"), [("tuning_fork_32hz_250fps.mp4", 250.0), ("tuning_fork_32hz_500fps.mp4", 500.0)]
)
def test_tuning_fork_vibrates_at_its_frequency(name, fps):
    frames = [frame[50:170, 270:430] for frame in islice(open_clip(CLIPS / name, fps), int(fps / 4.0))]
    tracker = MotionTracker(frames[0], (25, 20, 45, 70), name)
    for frame in frames:
        tracker.add(frame)
    peak = tracker.motion(fps).peaks()[0]
    assert peak.frequency == pytest.approx(32.1, abs=0.5)
    assert 0.5 < peak.amplitude < 2.0
    search = BandSearch(frames[0], (0, 0, 160, 120))
    for frame in frames[::2]:
        search.add(frame)
    band = search.suggestion(fps / 2.0)
    assert band is not None
    assert band.frequency == pytest.approx(32.1, abs=0.5)
    assert band.low < 30.0 < 34.0 < band.high
