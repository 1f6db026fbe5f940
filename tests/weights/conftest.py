"""A tiny network, its weights in a file, and a directory like the one that ships."""

import hashlib

import pytest
import torch

from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights import SHIPPED, WeightsInfo, loading, write_weights

ARCH = MagnifierConfig(
    encoder_channels=4,
    decoder_depth=1,
    decoder_channels=6,
    bottleneck=2,
    encoder="residual",
    encoder_blocks=(1, 0, 1),
    alpha_convention="alpha",
)
INFO = WeightsInfo(
    description="a network for tests; ½ trained",
    metrics={
        "procedural": {
            "identity": {"pairs": 64, "height": 384, "digest": "abc123"},
            "definitions": {"ssim": "RGB, Gaussian window"},
            "methods": {"this": {"ssim": 0.912345678, "lpips": None}, "frame_b": {"ssim": 0.5}},
        }
    },
    log=[{"date": "2025-01-02", "steps": 100, "started_from": None}, {"steps": 7, "overrides": {"optim.lr": 1e-4}}],
    data="rendered scenes",
    licence="Apache-2.0",
)


@pytest.fixture
def magnifier():
    torch.manual_seed(0)
    return Magnifier(ARCH).eval()


@pytest.fixture
def path(tmp_path, magnifier):
    """A weights file."""
    write_weights(tmp_path / "mine.safetensors", magnifier.state_dict(), ARCH, INFO)
    return tmp_path / "mine.safetensors"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A directory of weights that ship, each with another seed."""
    directory = tmp_path / "shipped"
    sums = []
    for seed, name in enumerate(SHIPPED):
        torch.manual_seed(seed)
        file = directory / f"{name}.safetensors"
        write_weights(file, Magnifier(ARCH).state_dict(), ARCH, INFO)
        sums.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n")
    (directory / "SHA256SUMS").write_text("".join(sums))
    monkeypatch.setattr(loading, "DIRECTORY", directory)
    return directory
