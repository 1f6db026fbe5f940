"""A table of two rows on a budget of one batch: trained, written, continued."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from tiny_settings import TINY

from lightning_mm import training
from lightning_mm.cli import main
from lightning_mm.errors import TrainingDivergedError
from lightning_mm.reproduction.command import reproduce
from lightning_mm.runs import Results

ROOT = Path(__file__).parents[2]
ARCH = {"decoder_depth": 1, "decoder_channels": 4, "encoder_channels": 4}
SETTINGS = {**TINY, "data.val_pairs": 2, "run.latency_size": 0}
TABLE = {
    "name": "mine",
    "title": "Mine: two & three",
    "configs": ["experiments/base.yaml"],
    "reference": "one",
    "rows": {
        "one": {"label": "one block", "files": ["one.yaml"], "paper": {"ssim": 0.97, "params": 1, "gflops": 41.3}},
        "two": {"label": "two blocks", "files": ["two.yaml"], "paper": {"ssim": 0.975}},
        "other": {"label": "another's", "kind": None, "paper": {"ssim": 0.9}},
    },
    "questions": [{"asks": "Do two beat one?", "row": "two", "against": "one"}],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    shutil.copy(ROOT / "experiments/base.yaml", "experiments/base.yaml")
    for depth, name in enumerate(("one", "two"), start=1):
        Path(f"{name}.yaml").write_text(yaml.safe_dump({"model": {"arch": {**ARCH, "decoder_depth": depth}}}))
    Path("mine.yaml").write_text(yaml.safe_dump(TABLE, sort_keys=False))
    Path("quick.yaml").write_text(
        yaml.safe_dump({"settings": SETTINGS, "seeds": [0, 1], "fps_size": [16, 16], "fps_seconds": 0.2})
    )
    return tmp_path


def run(*more):
    return main(["reproduce", "mine.yaml", "--budget", "quick.yaml", *more])


def test_paper_beside_ours(here, capsys):
    assert run() == 0
    out = capsys.readouterr().out
    folder = here / "runs/reproduce_quick"
    assert (folder / "mine.md").read_text().strip() in out
    page = (folder / "mine.html").read_text()
    assert "Mine: two &amp; three" in page
    scores = {
        name: [Results.read(folder / f"{name}-seed{seed}").metrics["ssim"] for seed in (0, 1)]
        for name in ("one", "two")
    }
    difference = sum(b - a for a, b in zip(scores["one"], scores["two"], strict=True)) / 2
    line = next(line for line in out.splitlines() if line.startswith("| two blocks"))
    assert f"{difference:+.4f}".replace("-", "\N{MINUS SIGN}") in line
    assert "+0.005" in line
    said = r"Do two beat one\? two blocks against one block: .* here, SSIM .*\(95 % interval .*2 seeds\); the paper: "
    assert re.search(said + r"\+0\.005\.", out)
    with (folder / "mine.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = [(row["row"], row["seed"]) for row in rows]
    assert kept == [("one", "0"), ("one", "1"), ("two", "0"), ("two", "1"), ("other", "")]
    assert [float(row["ssim"]) for row in rows[:4]] == pytest.approx([*scores["one"], *scores["two"]], abs=1e-6)
    assert rows[4]["printed_ssim"] == "0.9"


def test_the_same_command_trains_only_what_is_missing(here, capsys, monkeypatch):
    assert run() == 0
    trained = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda args, *more: trained.append(args) or fit(args, *more))
    pages = {path: path.read_bytes() for path in Path("runs").rglob("mine.*")}
    assert run() == 0
    assert trained == []
    assert pages == {path: path.read_bytes() for path in Path("runs").rglob("mine.*")}
    assert run("--settings", "{data.val_pairs: 1}") == 2
    assert "one-seed0: was trained with other settings or files" in capsys.readouterr().err
    shutil.rmtree("runs/reproduce_quick/two-seed1")
    Path("runs/reproduce_quick/mine_fps.json").write_text("{")
    assert run("--seeds", "[0, 1, 2]") == 0
    assert [next(a for a in args if "run.dir" in a).rsplit("/")[-1] for args in trained] == [
        "two-seed1",
        "one-seed2",
        "two-seed2",
    ]


def test_the_command_that_is_told_makes_the_same(here, capsys):
    assert run("--dir", "else where", "--settings", "{data.val_pairs: 1}", "--seeds", "[1, 0]", "--workers", "1") == 0
    page = (here / "else where/mine.md").read_text()
    told = shlex.split(next(line for line in page.splitlines() if "reproduce mine" in line).split("`")[1])
    capsys.readouterr()
    assert main(told[1:]) == 0
    assert "1/" not in capsys.readouterr().err  # every run was found
    assert (here / "else where/mine.md").read_text() == page
    with (here / "else where/mine.csv").open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["0", "1", "0", "1", ""]


def test_a_table_of_which_every_row_diverges_says_why(here, capsys, monkeypatch):
    def diverge(args):
        raise TrainingDivergedError("the loss became nan at step 7")

    monkeypatch.setattr(training, "fit", diverge)
    assert run("--seeds", "[0]") == 2
    assert "mine.yaml: no row of it could be trained: the loss became nan at step 7" in capsys.readouterr().err


def test_a_row_that_diverges_is_an_outcome(here, capsys, monkeypatch):
    fit = training.fit

    def sometimes(args):
        if "--run.dir=runs/reproduce_quick/two-seed1" in args:
            raise TrainingDivergedError("the loss became nan at step 7")
        return fit(args)

    monkeypatch.setattr(training, "fit", sometimes)
    assert run() == 0
    out, _ = capsys.readouterr()
    assert "two blocks: seed 1 diverged: the loss became nan at step 7" in out
    assert "one seed of a row, so nothing can be said about chance" in out


def test_a_row_whose_perceptual_weights_are_not_here_is_left_out_with_the_reason(here, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(here / "nothing"))
    monkeypatch.setattr("torch.hub.download_url_to_file", _no_network)
    config = yaml.safe_load(Path("two.yaml").read_text())
    config["model"]["loss"] = {"perceptual": 0.1}
    Path("two.yaml").write_text(yaml.safe_dump(config))
    assert run("--seeds", "[0]") == 0
    out, err = capsys.readouterr()
    assert "two: left out: perceptual loss: torchvision's VGG16 weights cannot be had" in err
    assert "two blocks against one block: not trained here; the paper: +0.005." in out
    assert not Path("runs/reproduce_quick/two-seed0").exists()


def _no_network(*_args, **_kwargs):
    raise OSError("no network")


def test_curves_of_the_trained_rows(here):
    Path("mine.yaml").write_text(yaml.safe_dump({**TABLE, "curves": ["subpixel"]}, sort_keys=False))
    budget = {"settings": SETTINGS, "fps_size": [16, 16], "fps_seconds": 0.2, "curve_samples": 1, "curve_size": 16}
    Path("quick.yaml").write_text(yaml.safe_dump(budget))
    assert run() == 0
    folder = Path("runs/reproduce_quick")
    with (folder / "mine_curves/subpixel.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"].startswith("runs/")]
    assert len(rows) == 2 * 15
    page = (folder / "mine.html").read_text()
    assert "Subpixel test: motion magnified to 10 px" in page
    assert "one block" in page[page.index("Subpixel test") :]
    written = (folder / "mine_curves/evaluation.json").stat().st_mtime_ns
    assert run() == 0
    assert (folder / "mine_curves/evaluation.json").stat().st_mtime_ns == written
    budget["curve_samples"] = 2
    Path("quick.yaml").write_text(yaml.safe_dump(budget))
    assert run() == 0
    assert (folder / "mine_curves/evaluation.json").stat().st_mtime_ns > written
    assert "The lowest trained seed of each row; scenes per level: 1, of 16 px." in page


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--settings", "{data.size: 5}"], "row one: "),
        (["--settings", "{data.size: 5}"], "data.size = 5"),
        (["--settings", "{data.photos: none}"], "data.photos = none: no such folder"),
        (["--seeds", "[]"], "seeds = []"),
        (["--workers", "0"], "workers = 0: must be >= 1"),
        (["--budget", "none.yaml"], "none.yaml: no such file; the budgets that ship"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(here, capsys, args, message):
    assert main(["reproduce", "mine.yaml", "--budget", "quick.yaml", *args]) == 2
    _, err = capsys.readouterr()
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path("runs").exists()


def test_the_table_of_the_paper_is_the_python_result_too(here):
    made = reproduce(Path("mine.yaml"), Path("quick.yaml"), seeds=[0])
    assert [len(found) for found in made.results.values()] == [1, 1]
    assert made.speeds.rows.keys() == {"one", "two"}
    assert all(0 < row["lower"] <= row["fps"] <= row["upper"] for row in made.speeds.rows.values())
