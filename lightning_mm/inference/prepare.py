"""Making a magnifier ready to run on a device: exact algebra, memory format, precision of the decoder, backend."""

import contextlib
import warnings
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lightning_mm.errors import InputError
from lightning_mm.inference.folding import fold
from lightning_mm.models import Magnifier

Backend = Literal["eager", "compile", "cuda_graphs", "openvino"]
Precision = Literal["float32", "half"]


def prepare(
    magnifier: Magnifier,
    device: torch.device | str = "cpu",
    backend: Backend = "eager",
    precision: Precision = "float32",
) -> Magnifier:
    """A copy of a magnifier for inference: folded, channels last, on its device and backend.

    Whatever the backend and the precision, the encoder and the manipulator compute in float32 (without TF32): the
    difference of two shapes lies below the resolution of half precision for small motion. Outputs equal the original's
    to 1e-4 with ``precision="float32"``.

    Args:
        magnifier: The network; it stays as it is.
        device: Where to run.
        backend: "eager" is PyTorch as it is. "compile" compiles manipulator and decoder with ``torch.compile``, anew
            for each size of frames, which takes a minute or two. "cuda_graphs" also records what is launched on the
            GPU and replays it. "openvino" runs manipulator and decoder by OpenVINO, on CPUs.
        precision: Of the decoder: "float32", or "half", float16 on a GPU and bfloat16 on a CPU.

    Raises:
        InputError: The device or this installation does not have the backend.
    """
    device = torch.device(device)
    for value, name, kind in ((backend, "backend", Backend), (precision, "precision", Precision)):
        if value not in get_args(kind):
            raise InputError(f"{name} = '{value}': must be one of {', '.join(get_args(kind))}")
    if backend == "openvino" and device.type != "cpu":
        raise InputError(f"backend = 'openvino': runs on CPUs only, here device = {device}")
    if backend == "cuda_graphs" and device.type != "cuda":
        raise InputError(f"backend = 'cuda_graphs': needs a CUDA device, here device = {device}")
    ready = fold(magnifier).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = {"cuda": torch.float16, "cpu": torch.bfloat16}.get(device.type, torch.float16)
    if backend == "openvino":
        from lightning_mm.inference.openvino import OpenVinoManipulator, OpenVinoModule

        ready.manipulator = OpenVinoManipulator(ready.manipulator)
        ready.decoder = OpenVinoModule(ready.decoder, half=precision == "half")
        return ready
    if precision == "half":
        ready.decoder = HalfDecoder(ready.decoder, half)
    if backend != "eager":
        options: dict[str, Any] = {"dynamic": False}
        if backend == "cuda_graphs":
            options["mode"] = "reduce-overhead"
        ready.manipulator.amplify = _compiled(ready.manipulator.amplify, backend, options)  # type: ignore[method-assign]
        ready.decoder = _CompiledDecoder(ready.decoder, backend, options)
    return ready


class HalfDecoder(nn.Module):
    """A decoder in half precision between float32 in and float32 out.

    Args:
        decoder: The decoder, which is converted.
        dtype: float16 or bfloat16.
    """

    def __init__(self, decoder: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder, self.dtype = decoder.to(dtype), dtype

    def forward(self, texture: Tensor, shape: Tensor) -> Tensor:
        """As of ``Decoder``."""
        return self.decoder(texture.to(self.dtype), shape.to(self.dtype)).float()


class _CompiledDecoder(nn.Module):
    def __init__(self, decoder: nn.Module, backend: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.decoder = decoder
        self.run = _compiled(decoder.forward, backend, options)

    def forward(self, texture: Tensor, shape: Tensor) -> Tensor:
        return self.run(texture, shape)


def _compiled(function: Any, backend: str, options: dict[str, Any]) -> Any:
    from torch._dynamo.exc import BackendCompilerFailed  # takes a second to import

    with _without_hints():
        compiled = torch.compile(function, **options)

    def run(*arguments: Any) -> Tensor:
        # A number would be compiled in; as a tensor it is one more input.
        tensors = [torch.as_tensor(a, dtype=torch.float32, device=arguments[0].device) for a in arguments]
        try:
            with _without_hints():
                # Graphs write every result to the same memory.
                return compiled(*tensors).clone() if backend == "cuda_graphs" else compiled(*tensors)
        except BackendCompilerFailed as error:
            first = str(error).strip().splitlines()[0]
            raise InputError(f"backend = '{backend}': torch cannot compile here ({first})") from None

    return run


@contextlib.contextmanager
def _without_hints() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*TensorFloat32 tensor cores.*")
        warnings.filterwarnings("ignore", message=".*torch.jit.* is deprecated.*", category=DeprecationWarning)
        yield
