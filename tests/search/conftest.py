"""A sweep that takes seconds: frames of 16 px, four steps a run."""

import pytest
import yaml

TINY = {
    "data.size": 16,
    "data.batch_size": 2,
    "data.epoch_samples": 4,
    "data.textures": 2,
    "data.texture_size": 64,
    "data.val_size": 16,
    "data.val_pairs": 2,
    "trainer.max_epochs": 1,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
    "model.arch.decoder_channels": 4,
}
DEPTH = {"class_path": "IntDistribution", "init_args": {"low": 1, "high": 3}}
ENCODER = {"class_path": "CategoricalDistribution", "init_args": {"choices": ["linear", "residual"]}}


@pytest.fixture
def content(tmp_path, monkeypatch):
    """A valid sweep file's content, with the experiment files that it names in the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(
        yaml.safe_dump({"seed_everything": 0, "model": {"arch": {"encoder_channels": 4}}})
    )
    (tmp_path / "deep.yaml").write_text(yaml.safe_dump({"model": {"arch": {"decoder_depth": 4}}}))
    return {
        "name": "tiny",
        "configs": ["base.yaml"],
        "references": {"proposed": "deep.yaml"},
        "settings": dict(TINY),
        "space": {"model.arch.decoder_depth": DEPTH, "model.arch.encoder": ENCODER},
        "trials": 3,
    }


@pytest.fixture
def write(tmp_path):
    """Write a sweep file and return its path."""

    def write(content):
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write
