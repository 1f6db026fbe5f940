"""Every command that the README shows is run, on tiny data, in the README's order, and its Python too."""

import json
import math
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_settings
import torch
import yaml
from fork_server import ServedCommand
from PIL import Image

from lightning_mm.cli import COMMANDS, main
from lightning_mm.evaluation import sets
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.reproduction import running
from lightning_mm.video.writer import ClipWriter
from lightning_mm.weights.convert import _port_name
from tests.reporting.conftest import FakeSweep

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines() if line.strip()]
TINY = {**tiny_settings.TINY, "trainer.enable_progress_bar": False}
RATED = [("A", 0.93, 1), ("B", 0.95, 2), ("C", 0.97, 4)]
TINY_SUPERRES = {
    "epochs": 1,
    "data.epoch_steps": 1,
    "data.batch_size": 1,
    "data.val_images": 1,
    "data.val_size": 24,
    "data.textures": 2,
    "data.texture_size": 64,
    "network.channels": 4,
}
# What makes a command of the README quick enough for a test.
SMALLER = {
    "fit": [f"--{key}={value}" for key, value in TINY.items()],
    "release": [f"--settings={json.dumps({**TINY, 'run.latency_size': 0})}", "--output=released"],
    "evaluate": ["--pairs=1", "--samples=1", "--size=16", "--lpips=off", "--clips=1"],
    "threshold fit": ["--draws=100"],
    "live": ["--duration=0.5", "--port=0", "--weights=tiny"],
    "benchmark video": [
        "--setups=[tiny]",
        "--reference=tiny:plain",
        "--resolutions=[32x24]",
        "--seconds=0.2",
        "--frames=8",
    ],
    "benchmark frames": ["--weights=[tiny]", "--resolutions=[32x24]", "--seconds=1"],
    "benchmark train": ["--repeats=1", *(f"--{key}={value}" for key, value in TINY.items())],
    "test": ["--data.val_pairs=1"],
    "reproduce": ["--seeds=[0]", f"--settings={yaml.safe_dump(TINY, default_flow_style=True, width=1000).strip()}"],
    "prune": ["--finetune_epochs=1", "--run.latency_size=16", *(f"--{key}={value}" for key, value in TINY.items())],
    "superres": [f"--settings={yaml.safe_dump(TINY_SUPERRES, default_flow_style=True, width=1000).strip()}"],
}


def test_set_up_is_two_commands_on_the_first_screen():
    screen = README.splitlines()[:25]
    assert "make sweep" in screen
    assert "make test" in screen


def test_every_command_is_shown():
    shown = " ".join(BASH) + README
    assert all(f"lightning-mm {name}" in shown for name in COMMANDS if name != "validate")


def test_python():
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("target", re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
def test_make_targets_expand_to_commands_that_exist(target):
    for line in expand(f"make {target} IN=a.mp4 OUT=b.mp4"):
        assert line[0] in COMMANDS


def test_commands_run(tmp_path, monkeypatch, capsys, fork_server):
    make_sandbox(tmp_path)
    served = {"Popen": partial(ServedCommand, fork_server)}  # workers, which would all import everything anew
    monkeypatch.setattr(running, "subprocess", SimpleNamespace(**{**vars(subprocess), **served}))
    monkeypatch.chdir(tmp_path)
    validation_set = sets.validation_set
    monkeypatch.setattr(sets, "validation_set", lambda photos, *_: validation_set(photos, pairs=1, size=16))
    for command in BASH:
        if command == "make test":
            continue  # this is it
        lines = [shlex.split(command)[1:]] if command.startswith("lightning-mm") else expand(command)
        assert lines, command
        for line in lines:
            smaller = SMALLER.get(" ".join(line[:2]), SMALLER.get(line[0], []))
            assert main([*line, *smaller]) == 0, f"{command}: {capsys.readouterr().err}"
    made = ["magnified.mp4", "compared_slice.png", "magnified/000000.png", "motion.csv", "motion.html", "filter.html"]
    made += ["lossless.mkv", "band.mp4", "runs/video.md", "runs/smoke/report.html"]
    made += ["runs/budget/report.html", "runs/tradeoff/publish/workspace.json"]
    made += ["runs/nas_smoke/nas.html", "runs/nas_smoke/nas.md", "runs/nas_smoke/nas.csv"]
    made += ["runs/race_smoke/race.html", "runs/race_smoke/table.csv", "runs/nas_stability/stability.md"]
    made += ["runs/reproduce_smoke/table2.html", "runs/reproduce_smoke/fig4.md", "runs/superres_smoke/table_a1.md"]
    made += ["runs/threshold/threshold.html", "runs/widths/report.html", "runs/frames.md"]
    made += ["runs/table1/encoder_block/removal.html", "runs/table1/encoder_block/cut.safetensors"]
    made += ["runs/evaluation/evaluation.html", "released/MODEL_CARD.md", "oh2018.safetensors"]
    assert [path for path in made if not (tmp_path / path).is_file()] == []


def expand(command):
    """The lightning-mm commands that a make command runs."""
    words = shlex.split(command)
    shown = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line)[1:] for line in shown.splitlines() if line.startswith(".venv/bin/lightning-mm ")]


def make_sandbox(folder):
    """A copy of experiments/ and sweeps/ on a tiny budget, a clip, frames, photos and a checkpoint of the port."""
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    base = yaml.safe_load((folder / "experiments/base.yaml").read_text())
    base["run"]["latency_size"] = 16
    (folder / "experiments/base.yaml").write_text(yaml.safe_dump(base))
    budget = yaml.safe_load((folder / "experiments/budgets/smoke.yaml").read_text())
    (folder / "experiments/budgets/smoke.yaml").write_text(yaml.safe_dump({**budget, "fps_seconds": 0.2}))
    (folder / "sweeps").mkdir()
    for path in set((ROOT / "sweeps").glob("*.yaml")) - set((ROOT / "sweeps").glob("nas_*.yaml")):
        spec = yaml.safe_load(path.read_text())
        spec["settings"] = {**spec["settings"], **TINY}
        if "pruning" in spec:
            spec["settings"]["trainer.max_epochs"] = 2
            spec["pruning"]["min_resource"] = 1
        if "space" in spec:  # a cheap trial, which is on the front whatever its SSIM
            spec["space"]["model.arch.decoder_channels"]["init_args"]["high"] = 24
            spec["space"]["model.arch.decoder_depth"]["init_args"]["high"] = 5
        (folder / "sweeps" / path.name).write_text(yaml.safe_dump({**spec, "trials": 1}))
    row = yaml.safe_load((ROOT / "sweeps/nas_a.yaml").read_text())
    row["space"] |= {"encoder_blocks": [1, 1, 1], "decoder_blocks": 2, "stem_channels": 4, "tail_channels": 8}
    (folder / "sweeps/nas_a.yaml").write_text(yaml.safe_dump(row))
    (folder / "sweeps/presets").mkdir()
    preset = yaml.safe_load((ROOT / "sweeps/presets/smoke.yaml").read_text())
    preset["settings"] |= {**TINY, "run.latency_size": 16}
    preset["references"] = {"tiny": "experiments/tiny.yaml"}
    preset |= {"search_pairs": 1, "search": {"population": 2, "generations": 1, "parents": 1, "mutations": 1}}
    preset["search"]["crossovers"] = 1
    (folder / "sweeps/presets/smoke.yaml").write_text(yaml.safe_dump(preset))
    race = yaml.safe_load((ROOT / "sweeps/races/smoke.yaml").read_text())
    race["settings"] |= {**TINY, "run.latency_size": 16}
    race["space"] |= {"decoder_depth": [1, 36], "output_kernel": [3, 7], "kinds": ["conv3"], "upsampling": ["nearest"]}
    race["space"] |= {"encoder": ["linear_9"], "encoder_channels": [8]}
    race["space"] |= {"decoder_channels": [16], "upsample_channels": [16]}
    race |= {"arms": ["random"], "seconds": 1e9, "rungs": [1], "validity": 0, "search_pairs": 1, "claim_seeds": [100]}
    (folder / "sweeps/races").mkdir()
    (folder / "sweeps/races/smoke.yaml").write_text(yaml.safe_dump(race))
    study = yaml.safe_load((ROOT / "sweeps/nas_stability.yaml").read_text())
    study["settings"] |= TINY
    study |= {"spaces": {"tiny": row["space"]}, "seeds": [0], "variants": {"ours": {}}}
    (folder / "sweeps/nas_stability.yaml").write_text(yaml.safe_dump(study))
    scores = [f"{rater},1,{model},{ssim},{score}" for rater in "ab" for model, ssim, score in RATED]
    (folder / "scores.csv").write_text("\n".join(["rater,sample,model,ssim,score", *scores, ""]))
    for width, ssim in ((8, 0.90), (32, 0.95), (40, 0.96)):
        arch = replace(MagnifierConfig.baseline(), encoder_channels=width, decoder_channels=2 * width)
        FakeSweep(folder / "runs/widths").seeds(f"w{width}", [ssim, ssim + 1e-4], role="run", arch=arch)
    generator = np.random.default_rng(0)
    picture = np.kron(generator.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    (folder / "frames").mkdir()
    for photos, photo in (("photos", picture), ("other_photos", picture[::-1])):
        (folder / photos).mkdir()
        Image.fromarray(photo).save(folder / photos / "one.png")
    port = {_port_name(name): value for name, value in Magnifier(MagnifierConfig.baseline()).state_dict().items()}
    torch.save({"model_state_dict": port}, folder / "epoch50.tar")
    with ClipWriter(folder / "clip.mp4", 64, 64, fps=Fraction(25)) as writer:
        for number in range(24):
            frame = np.roll(picture, round(2 * math.sin(math.pi * number / 4)), axis=1)
            writer.write(frame)
            Image.fromarray(frame).save(folder / "frames" / f"{number}.png")
