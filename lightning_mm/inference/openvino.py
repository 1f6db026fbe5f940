"""Modules of a magnifier run by OpenVINO, on CPUs."""

import functools
import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_mm.errors import InputError

_KEPT = 4
"""Sizes of inputs that stay compiled, such as that of the last, smaller batch."""


class OpenVinoModule(nn.Module):
    """A module that OpenVINO runs, converted and compiled anew for each size of its inputs.

    Args:
        module: Takes and gives float32 tensors.
        half: Whether OpenVINO may compute in bfloat16, where the processor has it.

    Raises:
        InputError: OpenVINO is not installed.
    """

    def __init__(self, module: nn.Module, half: bool = False) -> None:
        super().__init__()
        self.module = module
        require_openvino()
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._compiled: dict[tuple[torch.Size, ...], Any] = {}

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the module."""
        sizes = tuple(tensor.shape for tensor in inputs)
        if sizes not in self._compiled:
            if len(self._compiled) == _KEPT:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[sizes] = self._compile(inputs)
        arrays = [np.ascontiguousarray(tensor.detach().numpy()) for tensor in inputs]
        # The result lies in memory that the next call writes to.
        return torch.from_numpy(self._compiled[sizes](arrays)[0].copy())

    def _compile(self, inputs: tuple[Tensor, ...]) -> Any:
        # Inference tensors cannot be traced.
        with torch.inference_mode(False), torch.no_grad():
            exported = torch.export.export(self.module, tuple(torch.zeros(tensor.shape) for tensor in inputs))
        model = _converted(exported)
        model.reshape({place: list(tensor.shape) for place, tensor in enumerate(inputs)})
        return _core().compile_model(model, "CPU", self._settings)


@functools.cache
def _core() -> Any:
    """One for the process.

    Where the last one goes, its libraries go along, and the next signal that is handled ends in a segmentation fault.
    """
    return require_openvino().Core()


def _converted(exported: torch.export.ExportedProgram) -> Any:
    """An OpenVINO model, by the frontend for PyTorch itself: ``openvino.convert_model`` reports its use by network."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of operators that torch has renamed and that are not used here
    try:
        decoder = TorchFXPythonDecoder.from_exported_program(exported)
    finally:
        logging.disable(before)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


class OpenVinoManipulator(nn.Module):
    """A manipulator that OpenVINO runs, in float32 whatever the decoder's precision.

    Args:
        manipulator: The manipulator.
    """

    def __init__(self, manipulator: nn.Module) -> None:
        super().__init__()
        self._amplify = OpenVinoModule(_Amplify(manipulator))

    def forward(self, shape_a: Tensor, shape_b: Tensor, alpha: Tensor | float) -> Tensor:
        """As of ``Manipulator``."""
        return self.amplify(shape_b, shape_b - shape_a, alpha)

    def amplify(self, shape: Tensor, change: Tensor, alpha: Tensor | float) -> Tensor:
        """As of ``Manipulator``."""
        return self._amplify(shape, change, torch.as_tensor(alpha, dtype=torch.float32).reshape(-1))


class _Amplify(nn.Module):
    def __init__(self, manipulator: Any) -> None:
        super().__init__()
        self.manipulator = manipulator

    def forward(self, shape: Tensor, change: Tensor, alpha: Tensor) -> Tensor:
        return self.manipulator.amplify(shape, change, alpha)


def require_openvino() -> Any:
    """The openvino module.

    Raises:
        InputError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise InputError("backend = 'openvino': needs OpenVINO: pip install 'lightning_mm[openvino]'") from None
    return openvino
