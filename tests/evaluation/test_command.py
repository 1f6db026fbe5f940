"""The command as a whole: its files, its tables, and every kind of wrong input."""

import csv
import json
from dataclasses import replace
from typing import get_args

import pytest
import torch
from PIL import Image

from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.evaluation import command
from lightning_mm.evaluation.command import judged_before, run_protocols
from lightning_mm.evaluation.figures import FIGURES
from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.protocol import Options
from lightning_mm.evaluation.protocols import PROTOCOLS, ProtocolName
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.runs import Results
from lightning_mm.weights import WeightsInfo, read_weights, write_weights

SMALL = ["--pairs=2", "--samples=1", "--size=32", "--clips=1", "--lpips=off", "--out=out"]
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
    assert list(result["protocols"]) == ["pairs", "subpixel", "noise", "linearity", "vibration", "impulse", "copying"]
    assert result["protocols"]["pairs"]["settings"]["sets"].keys() == {"procedural"}
    assert result["weights"] == {"mine.safetensors": read_weights(here / "mine.safetensors").digest}
    methods = ["mine.safetensors", "frame_b", "linear_eulerian"]
    assert result["methods"] == methods
    counts = {"subpixel": 15, "noise_0.05px": 21, "noise_5px": 21}
    tables = {name: rows for one in result["protocols"].values() for name, rows in one["tables"].items()}
    for name, levels in counts.items():
        rows = rows_of(here / f"out/{name}.csv")
        assert [row["method"] for row in rows] == methods * levels
        assert [float(row["ssim"]) for row in rows] == pytest.approx([r["ssim"] for r in tables[name]])
    for name, rows in tables.items():
        read = rows_of(here / f"out/{name}.csv")
        assert (len(read), list(read[0])) == (len(rows), list(rows[0])), name
    assert {row["method"] for row in rows_of(here / "out/linearity.csv")} == {*methods, "target"}
    pairs = rows_of(here / "out/pairs.csv")
    assert [row["method"] for row in pairs] == methods
    page = (here / "out/evaluation.html").read_text()
    assert page.count("plotly-graph-div") >= 7
    for text in ("Subpixel test", "Noise test: 5 px", "Linearity", "return frame B", "linear Eulerian", ">mine<"):
        assert text in page
    for name, record in result["protocols"].items():
        assert f'<section id="{name}">' in page
        assert record["settings"], name
        for picture in record["pictures"]:
            with Image.open(here / "out" / picture) as image:
                assert image.mode == "RGB"
            assert f"{picture}</figcaption><img" in page
    assert "http://" not in page.split("<script>")[0]
    shown = capsys.readouterr().out
    assert f"{float(pairs[1]['ssim']):.4f} ±" in shown
    assert "lpips absent: not asked for" in shown
    assert "linear Eulerian absent: has no encoder" in shown
    for protocol in result["protocols"]:
        assert f"{protocol}, mine: " in shown, "a line of numbers"
    assert "[px]" in shown, "no markup"


def test_only_what_is_asked_for_is_done(here):
    assert main(["evaluate", "--weights=[mine.safetensors]", "--protocols=[subpixel]", *SMALL]) == 0
    assert {path.name for path in (here / "out").iterdir()} == {"evaluation.json", "evaluation.html", "subpixel.csv"}


def test_classical_methods_are_judged_as_asked(here):
    args = ["--weights=[mine.safetensors]", "--protocols=[subpixel]", "--classical=[phase,riesz]", *SMALL]
    assert main(["evaluate", *args]) == 0
    names = ["mine.safetensors", "frame_b", "phase_based", "riesz"]
    assert [row["method"] for row in rows_of(here / "out/subpixel.csv")] == names * 15
    result = json.loads((here / "out/evaluation.json").read_text())
    assert result["methods"] == names
    assert result["protocols"]["subpixel"]["summary"]["phase_based"]["mean_ssim"] > 0.0
    page = (here / "out/evaluation.html").read_text()
    assert "phase-based" in page
    assert "Riesz pyramid" in page


def test_what_was_judged_before_is_known_by_weights_methods_and_settings(here):
    options = Options(samples=1, pairs=2, size=32, lpips="off")
    weights, out = ["mine.safetensors"], here / "out"
    assert judged_before(out, weights, options) is None
    result = run_protocols(weights, ["subpixel"], options, device="cpu", out=out)
    found = judged_before(out, weights, options)
    assert found is not None
    assert found["protocols"] == result["protocols"]
    assert judged_before(out, weights, replace(options, samples=2)) is None
    run_protocols(weights, ["subpixel"], options, device="cpu", out=out, classical=["linear", "riesz"])
    assert judged_before(out, weights, options) is None


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
        (["--footage=none.mp4", "--footage_fps=250", "--footage_frequency=32"], "none.mp4: no such file"),
        (["--footage=none.mp4"], "footage = none.mp4: needs --footage_fps"),
        (["--protocols=[footage]"], "needs --footage"),
        (["--protocols=[pairs]", "--footage=none.mp4"], "'footage' is not among the protocols"),
        (["--stored=none"], "stored = none: no such folder"),
        (["--protocols=[stored]"], "needs --stored"),
        (["--footage_roi=0,0,9,9"], "footage_roi = 0,0,9,9: needs --footage"),
        (["--footage_alpha=20"], "footage_alpha = 20.0: needs --footage"),
        (["--stored_alpha=20"], "stored_alpha = 20.0: needs --stored"),
        (["--grid=fine"], "fine"),
        (["--border=-1"], "border = -1"),
        (["--border=200"], "size = 384: must be >= 411"),
        (["--clips=0"], "clips = 0"),
        (["--focal_length=0"], "focal_length = 0"),
        (["--photos=none"], "none"),
        (["--samples=0"], "samples = 0"),
        (["--size=10"], "size = 10"),
        (["--pairs=-1"], "pairs = -1"),
        (["--device=tpu9"], "tpu9"),
        (["--lpips=resnet"], "resnet"),
        (["--classical=[optical_flow]"], "optical_flow"),
        (["--classical=[phase,phase]"], "classical = ['phase', 'phase']: must be some of linear, phase, riesz"),
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


@pytest.mark.parametrize("protocol", ["linearity", "vibration"])
def test_without_opencv_what_tracks_says_what_to_install(here, monkeypatch, capsys, protocol):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert main(["evaluate", "--weights=[mine.safetensors]", f"--protocols=[{protocol}]", *SMALL]) == 2
    assert "lightning_mm[measure]" in capsys.readouterr().err
    assert not (here / "out").exists()


def test_without_opencv_the_rest_is_done(here, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    said = []
    chosen = command._chosen(None, Options(), said.append)
    assert chosen == ["pairs", "subpixel", "noise", "impulse", "copying"]
    assert "left out linearity, vibration: " in said[0]
    assert "lightning_mm[measure]" in said[0]


def test_what_has_an_input_is_done_by_default(tmp_path):
    chosen = command._chosen(None, Options(stored=tmp_path), print)
    assert chosen[-1] == "stored"
    assert "footage" not in chosen


def test_every_protocol_is_in_the_table_and_has_something_to_show():
    assert set(PROTOCOLS) == set(get_args(ProtocolName))
    assert set(FIGURES) | {"pairs", "impulse"} == set(PROTOCOLS)


def test_other_modules_get_the_numbers_without_printing(here, capsys):
    options = Options(samples=1, size=32, lpips="off")
    result = run_protocols(["mine.safetensors"], ["subpixel", "copying"], options, device="cpu")
    assert capsys.readouterr() == ("", "")
    assert result["files"] == []
    assert list(result["protocols"]) == ["subpixel", "copying"]
    json.dumps(result, allow_nan=False)
    assert result["protocols"]["subpixel"]["summary"]["frame_b"]["mean_ssim"] == pytest.approx(
        sum(r["ssim"] for r in result["protocols"]["subpixel"]["tables"]["subpixel"] if r["method"] == "frame_b") / 15
    )
    again = run_protocols(["mine.safetensors"], ["copying"], options, device="cpu", out=here / "again")
    assert again["protocols"]["copying"] == result["protocols"]["copying"]
    assert str(here / "again/copying.csv") in again["files"]


def test_a_finished_run_gets_the_summary_and_stays_finished(here):
    run = here / "run"
    (run / "checkpoints").mkdir(parents=True)
    state = {f"magnifier.{k}": v for k, v in Magnifier(ARCH).state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"arch": ARCH.to_dict()}}, run / "checkpoints/best.ckpt")
    before = Results(
        "run", "run", {}, ARCH.to_dict(), {}, {"ssim": 0.5}, {}, {}, {}, {}, {}, {}, {}, config={"seed": 1}
    )
    before.write(run)
    text = json.loads((run / "results.json").read_text())
    del text["protocols"]  # a file of before
    (run / "results.json").write_text(json.dumps(text))
    options = Options(samples=1, size=32, lpips="off")
    source = str(run / "checkpoints/best.ckpt")
    result = run_protocols([source], ["copying"], options, device="cpu")
    after = Results.read(run)
    assert result["files"] == [str(run / "results.json")]
    assert after.protocols["copying"]["checkpoint"] == "best.ckpt"
    assert after.protocols["copying"]["summary"] == result["protocols"]["copying"]["summary"][source]
    assert after.protocols["copying"]["settings"]["samples"] == 1
    assert replace(after, protocols={}) == before, "nothing else has changed"
    run_protocols([source], ["impulse"], options, device="cpu")
    assert Results.read(run).protocols.keys() == {"copying", "impulse"}
    (run / "results.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        run_protocols([source], ["copying"], options, device="cpu")
