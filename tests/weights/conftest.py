"""A tiny network, its weights in a file, and a directory like the one that ships."""

import hashlib

import pytest
import torch
from tiny_weights import ARCH, INFO

from lightning_mm.models import Magnifier
from lightning_mm.weights import SHIPPED, loading, write_weights


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
