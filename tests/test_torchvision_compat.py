import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lightning_mm
from lightning_mm import torchvision_compat
from lightning_mm.torchvision_compat import declare_torchvision_operators

ROOT = Path(lightning_mm.__file__).parents[1]
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"
)


def python(code):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)


@pytest.fixture(scope="module")
def torchvision_alone():
    return python("import torchvision")


@needs_torchvision
def test_packages_import_after_lightning_mm():
    done = python("import lightning_mm, torchvision, lightning, torchmetrics, lpips; print(torchvision.__name__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torchvision"


@needs_torchvision
def test_torchvision_alone_fails_as_described(torchvision_alone):
    if torchvision_alone.returncode == 0:
        pytest.skip("torchvision imports by itself beside this torch")
    assert "operator torchvision::nms does not exist" in torchvision_alone.stderr


@needs_torchvision
def test_declares_where_torchvision_alone_would_fail(torchvision_alone):
    if torchvision_alone.returncode == 0:
        pytest.skip("torchvision imports by itself beside this torch")
    # The file is run by itself: importing it from the package would declare first.
    path = torchvision_compat.__file__
    done = python(
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('compat', {path!r})\n"
        "compat = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(compat)\n"
        "print(compat.declare_torchvision_operators(), compat.declare_torchvision_operators())\n"
        "import torchvision"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]


def test_second_call_declares_nothing(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: pytest.fail("the first call has settled it"))
    monkeypatch.setattr(torchvision_compat, "_library", object())
    assert declare_torchvision_operators() is False


@pytest.fixture
def fresh(monkeypatch):
    """As before the first call, beside a CPU-only torch and torchvision's CUDA wheel; declaring would end the test."""

    class Declared(Exception):
        pass

    def declare(*arguments):
        raise Declared

    monkeypatch.setattr(torchvision_compat, "_library", None)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.28.0")
    monkeypatch.setattr(torch.library, "Library", declare)
    return Declared


def test_declares_beside_a_cpu_torch(fresh):
    with pytest.raises(fresh):
        declare_torchvision_operators()


def test_nothing_to_do_once_torchvision_is_imported(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", object())
    assert declare_torchvision_operators() is False


def test_nothing_to_do_beside_a_cuda_torch(fresh, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert declare_torchvision_operators() is False


def test_nothing_to_do_with_torchvisions_cpu_wheel(fresh, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.28.0+cpu")
    assert declare_torchvision_operators() is False


def test_nothing_to_do_without_torchvision(fresh, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert declare_torchvision_operators() is False
