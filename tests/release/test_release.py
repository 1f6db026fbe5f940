"""Making the weights that ship: stretch after stretch, interrupted, made worse, measured again; on tiny networks."""

import functools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from lightning_mm.cli import main
from lightning_mm.data.rendering import render_pairs
from lightning_mm.errors import EXIT_INTERRUPTED, InputError
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.levels import Level, collated, moved_by
from lightning_mm.evaluation.linearity import linearity
from lightning_mm.evaluation.methods import magnifying
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.release.command import release
from lightning_mm.release.spec import read_release
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.weights import SHIPPED, WeightsInfo, load_magnifier, read_magnifier, read_weights, write_weights

ROOT = Path(__file__).parents[2]
BASE = {
    "run": {"ema_decay": 0.9, "latency_size": 0},
    "model": {
        "arch": {"encoder_channels": 2, "decoder_depth": 1, "decoder_channels": 4},
        "optim": {"lr": 1e-3},
    },
    "data": {"size": 16, "batch_size": 2, "epoch_samples": 4, "textures": 2, "texture_size": 64, "val_pairs": 1},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1},
}
SPEC = {
    "models": {"tiny": ["base.yaml"], "proposed": ["base.yaml", "deeper.yaml"]},
    "cpu": [],
    "descriptions": {"tiny": "for tests", "proposed": "a deeper one"},
    "photos": "two gradients",
    "licence": "none",
    "photos_licence": "ask their owners",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a specification, in which the fixed validation sets are small."""
    monkeypatch.chdir(tmp_path)
    small = functools.partial(sets.validation_set, pairs=2, size=32)
    monkeypatch.setattr(sets, "validation_set", small)
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    (tmp_path / "deeper.yaml").write_text(yaml.safe_dump({"model": {"arch": {"decoder_depth": 2}}}))
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    return tmp_path


def run(name="tiny", **options):
    release(Path("spec.yaml"), models=[name], output=Path("out"), runs=Path("runs"), force=True, **options)
    return read_weights(Path(f"out/{name}.safetensors"))


def test_the_file_says_what_was_trained_and_how_it_measured(here, capsys):
    found = run()
    arch = MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4)
    assert found.arch == arch
    checkpoint = read_magnifier(Path("runs/tiny-1/checkpoints/last.ckpt"))[1]
    assert all(torch.equal(found.state[name], value) for name, value in checkpoint.items())
    (entry,) = found.info.log
    assert (entry["stretch"], entry["steps"], entry["samples"], entry["batch_size"]) == (1, 4, 8, 2)
    assert (entry["crop"], entry["seed"], entry["data"]) == (16, 0, "2 procedural textures")
    assert (found.info.description, found.info.data) == ("for tests", "procedural textures")
    (measured,) = found.info.metrics.values()
    assert measured["methods"].keys() == {"weights", "frame_b", "linear_eulerian"}
    assert 0 < measured["methods"]["weights"]["ssim"] < 1
    assert f"SSIM {measured['methods']['weights']['ssim']:.4f} on procedural" in capsys.readouterr().out


def test_another_stretch_starts_from_the_weights_and_sees_other_samples(here):
    first = run()
    rates, starts = [], []
    original = MagnifyTask.training_step

    def step(self, batch, batch_idx):
        if not starts:
            starts.append({name: value.clone() for name, value in self.magnifier.state_dict().items()})
        rates.append(batch.alpha.tolist())
        return original(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MagnifyTask, "training_step", step)
        second = run()
    assert all(torch.equal(starts[0][name], value) for name, value in first.state.items())
    assert [entry["stretch"] for entry in second.info.log] == [1, 2]
    assert second.info.log[0] == first.info.log[0]
    assert second.info.log[1]["seed"] != first.info.log[0]["seed"]
    assert second.digest != first.digest


def test_an_interrupted_stretch_is_continued(here, capsys):
    whole = run()
    for path in (Path("out"), Path("runs")):
        path.rename(f"whole_{path}")
    original, steps, stop_at = MagnifyTask.training_step, [], 3

    def interrupted(self, batch, batch_idx):
        if self.global_step == stop_at:
            raise KeyboardInterrupt
        steps.append(self.global_step)
        return original(self, batch, batch_idx)

    command = ["release", "--spec=spec.yaml", "--models=[tiny]", "--output=out", "--runs=runs"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MagnifyTask, "training_step", interrupted)
        assert main(command) == EXIT_INTERRUPTED
        assert not Path("out").exists()
        stop_at = None
        assert main(command) == 0
    assert steps == [0, 1, 2, 2, 3], "from the last epoch's end"
    assert read_weights(Path("out/tiny.safetensors")).digest == whole.digest


def test_weights_that_became_worse_are_not_written_unless_forced(here):
    before = run()
    worse = {"model.optim.lr": 0.5}
    content = Path("out/tiny.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"SSIM changed by -0\.\d{4} on procedural; out/tiny\.safetensors stays"):
        release(Path("spec.yaml"), ["tiny"], output=Path("out"), runs=Path("runs"), settings=worse)
    assert Path("out/tiny.safetensors").read_bytes() == content
    release(Path("spec.yaml"), ["tiny"], output=Path("out"), runs=Path("runs"), settings=worse, force=True)
    assert read_weights(Path("out/tiny.safetensors")).digest != before.digest


def test_photos_are_trained_on_and_make_a_second_validation_set(here, capsys):
    for folder, colour in (("train", 90), ("val", 200)):
        Path(folder).mkdir()
        Image.linear_gradient("L").convert("RGB").point(lambda x, c=colour: (x + c) % 256).save(f"{folder}/a.png")
    found = run(photos=Path("train"), val_photos=Path("val"))
    assert found.info.metrics.keys() == {"procedural", "photos"}
    assert found.info.log[0]["data"] == "2 procedural textures and 1 photos"
    assert found.info.data == "procedural textures, and photos: two gradients"
    assert found.info.licence == "none; ask their owners"
    capsys.readouterr()
    assert run().info.metrics.keys() == {"procedural"}
    assert "tiny.safetensors was measured on photos too; without --val_photos" in capsys.readouterr().err


def test_a_photo_cannot_be_in_training_and_validation(here, capsys):
    for path in ("train/deep", "val"):
        Path(path).mkdir(parents=True)
        Image.linear_gradient("L").convert("RGB").save(f"{path}/a.png")
    arguments = ["--spec=spec.yaml", "--photos=train", "--val_photos=val", "--output=out"]
    assert main(["release", *arguments]) == 2
    assert "val/a.png is among the training photos, as train/deep/a.png" in capsys.readouterr().err
    assert not Path("out").exists()


def test_measuring_again_keeps_the_weights_and_their_log(here):
    before = run()
    metrics = {"procedural": {**before.info.metrics["procedural"], "methods": {"weights": {"ssim": 2.0}}}}
    file = Path("out/tiny.safetensors")
    write_weights(file, before.state, before.arch, replace(before.info, metrics=metrics))
    again = run(train=False)
    assert (again.digest, again.info.log, again.info.metrics) == (before.digest, before.info.log, before.info.metrics)


def test_a_worse_model_does_not_keep_the_next_from_training(here):
    before = run()
    settings = {"model.optim.lr": 0.5}
    with pytest.raises(InputError, match=r"runs/tiny-2: SSIM changed by"):
        release(Path("spec.yaml"), output=Path("out"), runs=Path("runs"), settings=settings)
    assert read_weights(Path("out/tiny.safetensors")).digest == before.digest
    assert Path("out/proposed.safetensors").is_file()


def test_weights_of_another_set_are_measured_again_before_they_are_compared(here):
    before = run()
    metrics = {"elsewhere": before.info.metrics["procedural"]}
    file = Path("out/tiny.safetensors")
    write_weights(file, before.state, before.arch, replace(before.info, metrics=metrics))
    with pytest.raises(InputError, match=r"SSIM changed by -0\.\d{4} on procedural"):
        release(Path("spec.yaml"), ["tiny"], output=Path("out"), runs=Path("runs"), settings={"model.optim.lr": 0.5})


def test_weights_without_a_log_are_trained_further(here):
    arch = MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4)
    torch.manual_seed(5)
    state = Magnifier(arch).state_dict()
    write_weights(Path("out/tiny.safetensors"), state, arch, WeightsInfo("", {}, [], "", ""))
    found = run(settings={"model.optim.lr": 1e-9})
    assert all(torch.allclose(found.state[name], value, atol=1e-6) for name, value in state.items())


def test_sums_and_card_list_every_file(here):
    for name in ("tiny", "proposed"):
        run(name)
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd="out", check=True, capture_output=True)
    assert len(Path("out/SHA256SUMS").read_text().splitlines()) == 2
    card = Path("out/MODEL_CARD.md").read_text()
    for name in ("tiny", "proposed"):
        found = read_weights(Path(f"out/{name}.safetensors"))
        for text in (f"## {name}", found.digest, found.info.description, found.info.licence):
            assert text in card
        for values in found.info.metrics["procedural"]["methods"].values():
            assert f"| {values['ssim']:.4f} |" in card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {"large": ["base.yaml"]}}, r"no weights named 'large' ship; accepted: proposed, baseline, tiny"),
        ({"descriptions": {}}, r"descriptions: lacks '\w+'"),
        ({"speed": 3}, r"speed"),
        ({"licence": None}, r"licence"),
        ({"models": 3}, r"models"),
    ],
)
def test_a_wrong_specification_is_refused_by_name(here, change, message):
    Path("spec.yaml").write_text(yaml.safe_dump({**SPEC, **change}))
    with pytest.raises(InputError, match=rf"spec\.yaml: .*{message}"):
        read_release(Path("spec.yaml"))


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--spec=none.yaml"], "none.yaml"),
        (["--spec=spec.yaml", "--models=[baseline]"], "baseline"),
        (["--spec=spec.yaml", "--models=[tiny]", "--photos=none"], "none"),
        (["--spec=spec.yaml", "--models=[tiny]", "--val_photos=none"], "none"),
        (["--spec=spec.yaml", "--models=[tiny]", "--settings={data.sizes: 3}"], "sizes"),
        (["--spec=spec.yaml", "--models=[tiny]", "--settings={data.photos: here}"], "data.photos"),
        (["--spec=spec.yaml", "--models=[]"], "models is empty"),
        (["--spec=spec.yaml", "--output=base.yaml"], "base.yaml"),
        (["--spec=spec.yaml", "--model=[tiny]"], "model"),
        (["--spec=spec.yaml", "--models=[tiny]", "--train=false"], "out/tiny.safetensors"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_trained(here, args, names, capsys):
    before = sorted(here.rglob("*"))
    assert main(["release", "--output=out", *args]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert names in lines[0]
    assert sorted(here.rglob("*")) == before


def test_the_recipe_that_ships_names_every_model_and_files_that_exist():
    spec = read_release(ROOT / "experiments/weights.yaml")
    assert spec.models.keys() == set(SHIPPED)
    assert all((ROOT / path).is_file() for files in (*spec.models.values(), spec.cpu) for path in files)


class TestShipped:
    """The files in the package."""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_loads_and_has_the_architecture_of_its_experiment(self, name, monkeypatch):
        from lightning_mm.configuration import build

        monkeypatch.chdir(ROOT)
        config = build([*(arg for path in read_release(Path("experiments/weights.yaml")).models[name]
                          for arg in ("--config", str(path)))]).model.arch  # fmt: skip
        assert load_magnifier(name).config == config

    @pytest.mark.parametrize("name", SHIPPED)
    def test_says_what_it_measured_on_the_sets_of_today(self, name):
        info = read_weights(ROOT / f"lightning_mm/weights/{name}.safetensors").info
        assert info.metrics.keys() == {"procedural", "photos"}
        assert info.metrics["procedural"]["identity"] == sets.validation_set(None).validation_identity()
        assert info.metrics["photos"]["identity"]["pairs"] == 64
        assert sum(entry["samples"] for entry in info.log) > 0

    @pytest.mark.parametrize("name", ["proposed", "baseline"])
    def test_is_better_than_an_unmagnified_frame(self, name):
        for one in read_weights(ROOT / f"lightning_mm/weights/{name}.safetensors").info.metrics.values():
            assert one["methods"]["weights"]["ssim"] > one["methods"]["frame_b"]["ssim"]

    @pytest.mark.parametrize("name", SHIPPED)
    def test_moves_what_moved_and_keeps_its_colours(self, name):
        pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
        sampler, bank = sets.validation_set(None, pairs=1, size=128).validation_scenes()
        magnifier = load_magnifier(name)
        levels = [Level(0.5, magnified=2.5), Level(1.0, magnified=4.0)]
        rows = linearity({name: magnifying(magnifier)}, levels, sampler, bank, samples=4)
        for row in rows[::2]:
            assert row["measured"] == pytest.approx(row["expected"], rel=0.35), row
        pairs = render_pairs(moved_by(collated(sampler, bank, range(4)), levels[0]), bank, sampler.size)
        with torch.no_grad():
            output = magnifier(pairs.frame_a, pairs.frame_b, pairs.alpha)
        colour = [(image - image.mean(dim=1, keepdim=True)).std().item() for image in (output, pairs.target)]
        assert colour[0] == pytest.approx(colour[1], rel=0.2)

    def test_the_card_is_that_of_the_files(self):
        from lightning_mm.release.card import model_card

        folder = ROOT / "lightning_mm/weights"
        files = {name: read_weights(folder / f"{name}.safetensors") for name in SHIPPED}
        assert (folder / "MODEL_CARD.md").read_text() == model_card(files)
