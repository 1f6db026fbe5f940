"""The command line: exit codes, one line for each kind of wrong input, help, and a whole round through its commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from lightning_mm import __version__, cli, configuration
from lightning_mm.cli import COMMANDS, main
from lightning_mm.errors import Interrupted
from lightning_mm.runs import Results

TINY = [
    *("--model.arch.encoder_channels=2", "--model.arch.decoder_depth=1", "--model.arch.decoder_channels=4"),
    *("--data.size=16", "--data.batch_size=2", "--data.epoch_samples=4", "--data.val_pairs=3"),
    *("--data.textures=2", "--data.texture_size=128", "--trainer.max_epochs=1"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A finished run, by the command line."""
    directory = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["fit", *TINY, f"--run.dir={directory}"]) == 0
    return directory


@pytest.fixture
def checkpoint(run_dir):
    return str(run_dir / "checkpoints/last.ckpt")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def status(args):
    """Exit code of a command, however it ends."""
    try:
        return main(args)
    except SystemExit as exit_:
        return exit_.code or 0


def refused(args, here, capsys):
    """The one line that a command says of wrong input; it must write nothing and exit with 2."""
    before = sorted(here.rglob("*"))
    capsys.readouterr()
    code = status(args)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (code, len(lines), out) == (2, 1, ""), err
    assert lines[0].startswith("lightning-mm: error: ")
    assert "Traceback" not in lines[0]
    assert sorted(here.rglob("*")) == before
    return lines[0]


def test_without_arguments_the_overview_is_shown_and_nothing_done(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert all(f"  {name} " in out for name in COMMANDS)
    assert __version__ in out


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_the_overview(flag, capsys):
    assert main([flag]) == 0
    out, _ = capsys.readouterr()
    for name, command in COMMANDS.items():
        assert f"{name:10s} {command.__doc__.splitlines()[0]}" in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lightning_mm {__version__}\n"


@pytest.mark.parametrize("name", ["trian", "Fit", "--fit", "fit "])
def test_an_unknown_command_is_refused_with_a_list(name, here, capsys):
    line = refused([name], here, capsys)
    assert f"'{name}'" in line
    assert all(command in line for command in COMMANDS)


HELP = {
    "fit": ["--model.arch.decoder_depth", "d_D, number of residual blocks", "--data.epoch_samples", "--run.ema_decay"],
    "prune": [
        "--model.removal.part",
        "lambda_rm",
        "--finetune_epochs",
        "Epochs of training behind the cut",
        "--run.dir",
    ],
    "validate": ["--weights", "The weights to measure: proposed, baseline, tiny, or the path"],
    "test": ["--weights", "--data.val_pairs"],
    "magnify": ["Magnify the small motions in a clip", "Total motion factor", "--alpha"],
    "live": ["Magnify a camera, a stream or a file", "dropped, so that the picture does not lag", "--duration"],
    "demo": ["--port", "--max_seconds"],
    "weights": ["Say what weights are", "One of proposed, baseline, tiny", "licence"],
    "sweep": ["Search architectures", "Number of trials to reach", "--storage"],
    "reproduce": ["table or figure of the paper", "--budget", "--seeds", "--workers", "continues what was interrupted"],
    "nas": ["appendix", "Reproduce the paper's NAS appendix", "race", "stability", "replay"],
    "report": ["Compare the runs below a directory", "File to write the page to"],
    "threshold": ["threshold WHAT", "fit", "at which they call the similarity adequate", "anchor", "the paper's 0.966"],
    "publish": ["Upload the runs below a directory", "--dry_run", "Project there"],
    "measure": ["Measure the motion in a clip", "X,Y,WIDTH,HEIGHT"],
    "convert": ["authors' PyTorch port of Oh et al.", "What the network multiplies", "--alpha_convention"],
    "evaluate": ["Judge weights by fixed protocols", '"subpixel": SSIM over motions', "--photos"],
    "release": ["Train the weights that ship", "--val_photos", "Write the weights even where they became worse"],
    "superres": ["Reproduce Table A1", "experiments/superres/smoke.yaml", "Dotted keys to change"],
    "benchmark": ["benchmark WHAT", "train", "the renderer, and a loader of PNG files", "frames", "in real time"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name, capsys):
    assert status([name, "--help"]) == 0
    out, err = capsys.readouterr()
    text = " ".join(out.split())
    assert err == ""
    assert f"usage: lightning-mm {name}" in text
    assert all(words in text for words in HELP[name])


def test_every_command_is_in_the_table_of_helps():
    assert COMMANDS.keys() == HELP.keys()


BAD = {
    "unknown key": (["--model.arch.depth=3"], "model.arch.depth"),
    "prefix of a key": (["--model.arch.decoder_dept=3"], "model.arch.decoder_dept"),
    "prefix of a key of run": (["--run.di=x"], "run.di"),
    "text for a number": (["--model.arch.decoder_depth=deep"], "model.arch.decoder_depth"),
    "fraction for a whole number": (["--data.batch_size=2.5"], "data.batch_size"),
    "unknown choice": (["--model.arch.encoder=cubic"], "model.arch.encoder"),
    "value out of range": (["--model.arch.bottleneck=3"], "bottleneck"),
    "negative weight": (["--model.loss.texture=-1"], "LossConfig.texture"),
    "not a number": (["--model.optim.lr=nan"], "lr"),
    "nothing behind an option": (["--data.size"], "data.size"),
    "stray word": (["stray"], "stray"),
    "missing configuration": (["--config=none.yaml"], "none.yaml"),
    "missing photos": (["--data.photos=no-such-photos"], "no-such-photos"),
    "missing data set": (["--data.oh2018=no-such-data"], "no-such-data"),
    "missing perceptual weights": (
        ["--model.loss.perceptual=1", "--model.loss.perceptual_weights=no-such.pth"],
        "no-such.pth",
    ),
    "no such device": (["--trainer.devices=99", "--trainer.accelerator=cuda"], "CUDA"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_options_of_fit_are_refused(name, here, capsys):
    args, named = BAD[name]
    assert named in refused(["fit", *TINY, "--run.dir=x", *args], here, capsys)


FILES = {
    "unknown key": ("model:\n  arch:\n    decoder_dept: 3\n", "decoder_dept"),
    "unknown section": ("optimiser:\n  lr: 1\n", "optimiser"),
    "wrong type": ("data:\n  size: large\n", "data.size"),
    "syntax": ("model: [1, 2\ndata: }\n", "bad.yaml"),
    "tab": ("model:\n\tarch: 1\n", "bad.yaml"),
    "list": ("- 1\n- 2\n", "bad.yaml"),
    "binary": ("\x00\x01\x02", "bad.yaml"),
}


@pytest.mark.parametrize("name", FILES)
def test_wrong_configuration_files_are_refused(name, here, capsys):
    text, named = FILES[name]
    (here / "bad.yaml").write_text(text)
    assert named in refused(["fit", "--config=bad.yaml", *TINY, "--run.dir=x"], here, capsys)


def test_a_run_directory_that_cannot_be_made_is_named(here, capsys):
    (here / "file").write_text("in the way")
    assert "file/run" in refused(["fit", *TINY, "--run.dir=file/run"], here, capsys)


def test_a_run_directory_of_another_run_is_refused(run_dir, here, capsys):
    line = refused(["fit", *TINY, f"--run.dir={run_dir}", "--data.seed=4"], here, capsys)
    assert "data.seed = 0, not 4" in line


@pytest.mark.parametrize("command", ["validate", "test"])
class TestWrongWeights:
    def test_an_unknown_name(self, command, here, capsys):
        line = refused([command, "--weights=large"], here, capsys)
        assert "weights = 'large'" in line
        assert "proposed, baseline, tiny" in line

    def test_nothing_behind_the_option(self, command, here, capsys):
        assert "weights" in refused([command, "--weights"], here, capsys)

    def test_missing(self, command, here, capsys):
        assert "none.ckpt" in refused([command, "--weights=none.ckpt"], here, capsys)

    def test_a_text_file(self, command, here, capsys):
        (here / "text.ckpt").write_text("hello\nthere\n")
        assert "text.ckpt" in refused([command, "--weights", "text.ckpt"], here, capsys)

    def test_another_architecture(self, command, checkpoint, here, capsys):
        content = torch.load(checkpoint, weights_only=True)
        content["hyper_parameters"]["arch"]["decoder_depth"] = 2
        torch.save(content, here / "other.ckpt")
        line = refused([command, "--weights", "other.ckpt", *TINY], here, capsys)
        assert "other.ckpt" in line
        assert "decoder.body" in line

    def test_unknown_option_beside_it(self, command, checkpoint, here, capsys):
        assert "data.val_pair" in refused([command, "--weights", checkpoint, "--data.val_pair=1"], here, capsys)


@pytest.fixture
def clip(here):
    """A folder of three frames."""
    for number in range(3):
        (here / "clip").mkdir(exist_ok=True)
        Image.new("RGB", (24, 16), (40 * number, 90, 120)).save(here / f"clip/{number}.png")
    return "clip"


def test_wrong_input_of_magnify_is_refused(checkpoint, clip, here, capsys):
    (here / "text.mp4").write_text("no video\n")
    (here / "file").write_text("in the way")
    with_weights = ["--weights", checkpoint]
    cases = [
        (["none.mp4", "out.mp4", *with_weights], "none.mp4"),
        (["text.mp4", "out.mp4", *with_weights], "text.mp4"),
        ([clip, "out.mp4", *with_weights, "--alpha=nan"], "alpha"),
        ([clip, "out.mp4", *with_weights, "--alpha=-3"], "alpha"),
        ([clip, "out.mp4", *with_weights, "--alpha=many"], "alpha"),
        ([clip, "out.mp4", *with_weights, "--mode=backwards"], "mode"),
        ([clip, "out.mp4", *with_weights, "--alph=3"], "alph"),
        ([clip, "file/out.mp4", *with_weights], "file"),
        ([clip, "out.xyz", *with_weights], "out.xyz"),
        ([clip, "out.mp4", "--weights=none.ckpt"], "none.ckpt"),
        ([clip, "out.mp4", "--weights=text.mp4"], "text.mp4"),
        ([clip, "out.mp4", "--weights=large"], "proposed, baseline, tiny"),
        ([clip], "output"),
        ([], "input"),
    ]
    for args, named in cases:
        assert named in refused(["magnify", *args], here, capsys), args


def test_magnify_writes_a_clip(checkpoint, clip, here, capsys):
    assert main(["magnify", clip, "out", "--weights", checkpoint, "--alpha=3"]) == 0
    assert len(list((here / "out").glob("*.png"))) == 3


@pytest.mark.parametrize("what", ["race", "replay", "stability"])
def test_files_of_nas_that_are_missing_are_named(what, here, capsys):
    assert "none.yaml: " in refused(["nas", what, "none.yaml"], here, capsys)


@pytest.mark.parametrize("args", [["nas"], ["nas", "apendix"], ["nas", "appendix"], ["nas", "appendix", "none.yaml"]])
def test_wrong_input_of_nas_is_refused_with_what_is_accepted(args, here, capsys):
    line = refused(args, here, capsys)
    assert {"none.yaml": "sweeps/presets", "appendix": "preset"}.get(args[-1], "must be one of: appendix") in line


@pytest.mark.parametrize("args", [["sweep", "none.yaml"], ["sweep"], ["report", "none"], ["report"], ["sweep", "-x"]])
def test_wrong_input_of_sweep_and_report_is_refused(args, here, capsys):
    refused(args, here, capsys)


def test_fit_says_what_it_reached_and_wrote(run_dir, capsys):
    assert main(["fit", *TINY, f"--run.dir={run_dir}"]) == 0
    out, err = capsys.readouterr()
    results = Results.read(run_dir)
    assert err == ""
    assert f"SSIM {results.metrics['ssim']:.4f}" in out
    assert f"{results.floors['frame_b']['ssim']:.4f}" in out
    assert str(run_dir / "results.json") in out
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_checkpoint_is_measured_without_flags_of_its_architecture(command, run_dir, checkpoint, here, capsys):
    assert main([command, "--weights", checkpoint]) == 0
    out, err = capsys.readouterr()
    results = Results.read(run_dir)
    values = dict(line.split()[:2] for line in out.splitlines())
    assert err == ""
    assert values["ssim"] == f"{results.metrics['ssim']:.4f}"
    assert values["psnr"] == f"{results.metrics['psnr']:.4f}"
    assert values["lpips"] == "absent:"
    assert ("frame_b_ssim" in values) == (command == "test")
    if command == "test":
        assert values["frame_b_ssim"] == f"{results.floors['frame_b']['ssim']:.4f}"
    assert results.definitions["ssim"] in out
    assert f"on 3 pairs of 16 x 16 ({results.validation['name']}, {results.validation['digest']})" in out
    assert os.listdir(here) == []


def test_a_checkpoint_away_from_its_run_is_measured_too(checkpoint, here, capsys):
    (here / "moved.ckpt").write_bytes(Path(checkpoint).read_bytes())
    architecture = TINY[:3]
    assert main(["validate", "--weights=moved.ckpt", *(arg for arg in TINY if arg not in architecture)]) == 0
    moved = capsys.readouterr().out
    assert main(["validate", "--weights", checkpoint]) == 0
    assert capsys.readouterr().out == moved


def test_a_printed_configuration_is_one(here, capsys):
    assert status(["fit", *TINY, "--run.dir=x", "--print_config"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    config = yaml.safe_load(out)
    assert config["model"]["arch"]["decoder_channels"] == 4
    assert config["data"]["texture_size"] == 128
    (here / "again.yaml").write_text(out)
    again = configuration.build(["--config=again.yaml"]).plain_config()
    assert again == configuration.build([*TINY, "--run.dir=x"]).plain_config()
    assert os.listdir(here) == ["again.yaml"]


def test_later_arguments_win(here):
    (here / "a.yaml").write_text("data:\n  size: 32\n  val_pairs: 5\n")
    (here / "b.yaml").write_text("data:\n  size: 48\n")
    data = configuration.build(["--config=a.yaml", "--config=b.yaml", *TINY[-2:], "--data.batch_size=3"]).datamodule
    assert (data.size, data.val_pairs, data.batch_size) == (48, 5, 3)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Interrupted("interrupted at step 3; go on"), "lightning-mm: interrupted at step 3; go on"),
        (KeyboardInterrupt(), "lightning-mm: interrupted"),
    ],
)
def test_an_interruption_is_one_line_and_exit_code_75(error, line, monkeypatch, capsys):
    def interrupted(args):
        raise error

    monkeypatch.setitem(cli.COMMANDS, "fit", interrupted)
    assert main(["fit"]) == 75
    assert capsys.readouterr().err == line + "\n"


def test_a_training_that_diverges_is_one_line_and_exit_code_1(here, monkeypatch, capsys):
    monkeypatch.setattr("lightning_mm.losses.F.l1_loss", lambda x, y: (x - y).abs().mean() * float("nan"))
    assert main(["fit", *TINY, "--run.dir=diverged"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "lightning-mm: training diverged: the loss became nan at step 0\n"
    assert not (here / "diverged/results.json").exists()


def test_a_mistake_in_the_program_is_not_hidden(monkeypatch):
    def broken(args):
        raise KeyError("a bug")

    monkeypatch.setitem(cli.COMMANDS, "fit", broken)
    with pytest.raises(KeyError):
        main(["fit"])


def test_the_package_runs_as_a_module():
    root = Path(cli.__file__).parents[1]
    done = subprocess.run([sys.executable, "-m", "lightning_mm", "--version"], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"lightning_mm {__version__}\n", "")


def test_who_stops_reading_is_told_nothing():
    """As in ``lightning-mm --help | head -1``, here with nobody who reads at all."""
    reading, writing = os.pipe()
    os.close(reading)
    root = Path(cli.__file__).parents[1]
    command = [sys.executable, "-m", "lightning_mm", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=root, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
