import shutil
import subprocess
import sys

import pytest
import torch

from lightning_mm.errors import InputError
from lightning_mm.evaluation.methods import magnifying
from lightning_mm.inference.prepare import prepare
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights import load_magnifier


def available(backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    if backend == "compile" and shutil.which("g++") is None:
        pytest.skip("no C++ compiler, which torch.compile needs on a processor")


def pair(shift=0.05, size=48):
    """Frames of a smooth texture, the second moved to the right by ``shift`` px, exactly."""
    torch.manual_seed(3)
    y, x = torch.meshgrid(torch.arange(size).double(), torch.arange(size).double(), indexing="ij")
    waves = [(0.31, 0.12), (0.17, -0.29), (0.45, 0.21), (-0.38, 0.4)]
    phases = torch.rand(4, 3) * 6.28

    def frame(dx):
        values = [
            sum(torch.sin(kx * (x - dx) + ky * y + phases[n, c]) for n, (kx, ky) in enumerate(waves)) for c in range(3)
        ]
        return torch.stack(values)[None].float() / 5.0

    return frame(0.0), frame(shift)


@pytest.fixture(scope="module")
def magnifier():
    """Untrained, but magnifying: the manipulator starts as linear Eulerian magnification."""
    torch.manual_seed(0)
    magnifier = Magnifier(MagnifierConfig(encoder_channels=8, decoder_depth=1, decoder_channels=8)).eval()
    with torch.no_grad():
        for parameter in magnifier.decoder.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return magnifier


@pytest.fixture(scope="module")
def trained():
    return load_magnifier("proposed")


def assert_same_motion(added, wanted):
    """As much of it within 3 %, with noise below half a level of 8 bits."""
    assert float((added * wanted).sum() / wanted.square().sum()) == pytest.approx(1.0, abs=0.03)
    assert (added - wanted).square().mean().sqrt() < 0.5 / 127.5


def expected_of(magnifier):
    a, b = pair()
    with torch.no_grad():
        return magnifier(a, b, 20.0)


@pytest.mark.parametrize(
    ("network", "backend", "precision"),
    [
        ("trained", "eager", "float32"),
        ("trained", "eager", "half"),
        ("magnifier", "openvino", "float32"),
        ("magnifier", "openvino", "half"),
        ("magnifier", "compile", "float32"),
    ],
)
def test_every_backend_keeps_small_motion(request, network, backend, precision):
    """0.05 px, 20 times: what motion adds to the output is what the plain network adds."""
    available(backend)
    magnifier = request.getfixturevalue(network)
    a, b = pair()
    expected = expected_of(magnifier)
    ready = prepare(magnifier, "cpu", backend, precision)
    with torch.inference_mode():
        got, still = ready(a, b, 20.0), ready(a, b, 1.0)
        unmoved = magnifier(a, b, 1.0)
    if precision == "float32":
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    added, wanted = got - still, expected - unmoved
    assert wanted.std() > 0.002
    if precision == "float32":
        assert float((added - wanted).norm() / wanted.norm()) < 1e-3
    assert_same_motion(added, wanted)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_sizes_batches_and_factors_may_change_between_calls(magnifier, backend):
    available(backend)
    ready = prepare(magnifier, "cpu", backend)
    for batch, height, width, alpha in ((1, 1, 1, 3.0), (2, 17, 30, 5.0), (2, 17, 30, 2.0)):
        a, b = torch.rand(2, batch, 3, height, width) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(ready(a, b, alpha), magnifier(a, b, alpha), rtol=0, atol=1e-4)


def test_an_output_is_not_overwritten_by_the_next(magnifier):
    pytest.importorskip("openvino")
    ready = prepare(magnifier, "cpu", "openvino")
    a, b = pair()
    with torch.inference_mode():
        first = ready(a, b, 20.0)
        kept = first.clone()
        ready(b, a, 5.0)
    assert torch.equal(first, kept)


def test_encoder_and_manipulator_stay_in_float32(magnifier):
    ready = prepare(magnifier, "cpu", precision="half")
    dtypes = {name.split(".")[0]: set() for name, _ in ready.named_parameters()}
    for name, parameter in ready.named_parameters():
        dtypes[name.split(".")[0]].add(parameter.dtype)
    assert dtypes == {"encoder": {torch.float32}, "manipulator": {torch.float32}, "decoder": {torch.bfloat16}}


def test_protocols_take_what_is_prepared(magnifier):
    method = magnifying(prepare(magnifier))
    a, b = pair()
    with torch.inference_mode():
        torch.testing.assert_close(method(a, b, torch.tensor([20.0])), expected_of(magnifier), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("device", "backend", "precision", "message"),
    [
        ("cpu", "tensorrt", "float32", "backend = 'tensorrt': must be one of eager, compile, cuda_graphs, openvino"),
        ("cpu", "eager", "float16", "precision = 'float16': must be one of float32, half"),
        ("cpu", "cuda_graphs", "float32", "backend = 'cuda_graphs': needs a CUDA device, here device = cpu"),
        ("cuda", "openvino", "float32", "backend = 'openvino': runs on CPUs only, here device = cuda"),
    ],
)
def test_what_cannot_be_is_refused(device, backend, precision, message):
    with pytest.raises(InputError) as caught:
        prepare(Magnifier(), device, backend, precision)
    assert str(caught.value) == message


def test_openvino_reports_nothing_to_its_makers(magnifier, monkeypatch):
    """Its ``convert_model`` sends events where nobody has been asked, so that it must not be called."""
    openvino = pytest.importorskip("openvino")
    telemetry = pytest.importorskip("openvino_telemetry")

    def refuse(*arguments, **options):
        raise AssertionError("would send an event")

    monkeypatch.setattr(telemetry.Telemetry, "__init__", refuse)
    monkeypatch.setattr(openvino, "convert_model", refuse)
    a, b = pair(size=16)
    with torch.inference_mode():
        prepare(magnifier, "cpu", "openvino")(a, b, 2.0)


def test_missing_openvino_is_said(monkeypatch, magnifier):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(InputError, match=r"pip install 'lightning_mm\[openvino\]'"):
        prepare(magnifier, "cpu", "openvino")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["eager", "compile", "cuda_graphs"])
@pytest.mark.parametrize("precision", ["float32", "half"])
def test_cuda_keeps_small_motion(trained, backend, precision):
    a, b = (frame.cuda() for frame in pair())
    ready = prepare(trained, "cuda", backend, precision)
    with torch.inference_mode():
        added = (ready(a, b, 20.0) - ready(a, b, 1.0)).cpu()
        wanted = expected_of(trained) - trained(*pair(), 1.0)
    assert_same_motion(added, wanted)


def test_signals_are_handled_when_openvino_has_gone():
    """Libraries that went with their last user used to end the process at the next signal."""
    pytest.importorskip("openvino")
    code = """
import gc, os, signal, warnings
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
import torch
from lightning_mm.inference.prepare import prepare
from lightning_mm.models import Magnifier, MagnifierConfig

config = MagnifierConfig(encoder_channels=4, decoder_depth=0, decoder_channels=4)
ready = prepare(Magnifier(config).eval(), "cpu", "openvino")
with torch.inference_mode():
    ready(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), 2.0)
del ready
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
