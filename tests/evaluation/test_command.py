"""The command as a whole: its files, its tables, and every kind of wrong input."""

import csv
import json

import pytest
import torch

from lightning_mm.cli import main
from lightning_mm.evaluation.methods import titles
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights import WeightsInfo, read_weights, write_weights

SMALL = ["--pairs=2", "--samples=1", "--size=32", "--lpips=off", "--out=out"]
ARCH = MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a weights file."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    write_weights(tmp_path / "mine.safetensors", Magnifier(ARCH).state_dict(), ARCH, WeightsInfo("", {}, [], "", ""))
    return tmp_path


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_tables(here, capsys):
    pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
    assert main(["evaluate", "--weights=[mine.safetensors]", *SMALL]) == 0
    result = json.loads((here / "out/evaluation.json").read_text())
    assert result["sets"].keys() == {"procedural"}
    assert result["weights"] == {"mine.safetensors": read_weights(here / "mine.safetensors").digest}
    methods = ["mine.safetensors", "frame_b", "linear_eulerian"]
    assert list(result["sets"]["procedural"]["methods"]) == methods
    counts = {"subpixel": 15, "noise_0.05px": 21, "noise_5px": 21}
    for name, levels in counts.items():
        rows = rows_of(here / f"out/{name}.csv")
        assert [row["method"] for row in rows] == methods * levels
        assert [float(row["ssim"]) for row in rows] == pytest.approx([r["ssim"] for r in result["curves"][name]])
    assert {row["method"] for row in rows_of(here / "out/linearity.csv")} == {*methods, "target"}
    pairs = rows_of(here / "out/pairs.csv")
    assert [row["method"] for row in pairs] == methods
    page = (here / "out/evaluation.html").read_text()
    assert page.count("plotly-graph-div") >= 4
    for text in ("Subpixel test", "Noise test: 5 px", "Linearity", "return frame B", "linear Eulerian", ">mine<"):
        assert text in page
    shown = capsys.readouterr().out
    assert f"{float(pairs[1]['ssim']):.4f} ±" in shown
    assert "LPIPS absent: not asked for" in shown or "lpips absent: not asked for" in shown


def test_only_what_is_asked_for_is_done(here):
    assert main(["evaluate", "--weights=[mine.safetensors]", "--protocols=[subpixel]", *SMALL]) == 0
    assert {path.name for path in (here / "out").iterdir()} == {"evaluation.json", "evaluation.html", "subpixel.csv"}


def test_methods_are_named_shortly_where_that_is_enough():
    names = ["proposed", "runs/a/checkpoints/last.ckpt", "runs/a/checkpoints/best.ckpt", "x/mine.safetensors"]
    assert titles([*names, "frame_b", "proposed"]) == {
        "proposed": "proposed",
        **{name: name for name in names[1:3]},
        "x/mine.safetensors": "mine",
        "frame_b": "return frame B",
    }


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--weights=[none.safetensors]"], "none.safetensors"),
        (["--weights=[large]"], "large"),
        (["--weights=[]"], "weights is empty"),
        (["--weights=[mine.safetensors,mine.safetensors]"], "named twice"),
        (["--protocols=[]"], "protocols = []"),
        (["--protocols=[pairs,pairs]"], "each once"),
        (["--protocols=[speed]"], "speed"),
        (["--photos=none"], "none"),
        (["--samples=0"], "samples = 0"),
        (["--size=10"], "size = 10"),
        (["--pairs=-1"], "pairs = -1"),
        (["--device=tpu9"], "tpu9"),
        (["--lpips=resnet"], "resnet"),
        (["--size=16"], "size = 16: must be >= 17 for LPIPS of squeeze"),
        (["--out=mine.safetensors"], "--out mine.safetensors: is a file"),
        (["--sample=3"], "sample"),
    ],
)
def test_wrong_input_is_one_line(here, args, names, capsys):
    before = sorted(here.rglob("*"))
    given = [] if args[0].startswith("--weights") else ["--weights=[mine.safetensors]"]
    assert main(["evaluate", *given, *args]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert names in lines[0]
    assert sorted(here.rglob("*")) == before


def test_without_opencv_linearity_says_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert main(["evaluate", "--weights=[mine.safetensors]", "--protocols=[linearity]", *SMALL]) == 2
    assert "lightning_mm[measure]" in capsys.readouterr().err
