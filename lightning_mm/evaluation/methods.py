"""What is judged: magnifiers, and methods that need no training, as functions of two frames and a factor."""

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_mm.classical.methods import METHODS
from lightning_mm.classical.shared import magnify_pair
from lightning_mm.errors import InputError
from lightning_mm.magnification.learned import Learned
from lightning_mm.method import Method as StreamingMethod
from lightning_mm.models import Magnifier
from lightning_mm.models.precision import exact_float32
from lightning_mm.weights import load_magnifier

Method = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Frames A and B, (B, 3, H, W) in [-1, 1], and total motion factors (B,) to magnified frames."""

ClassicalName = Literal["linear", "phase", "riesz"]

FRAME_B, LINEAR, PHASE, RIESZ = "frame_b", "linear_eulerian", "phase_based", "riesz"
_CLASSICAL: dict[ClassicalName, str] = {"linear": LINEAR, "phase": PHASE, "riesz": RIESZ}
_TITLES = {FRAME_B: "return frame B", LINEAR: "linear Eulerian", PHASE: "phase-based", RIESZ: "Riesz pyramid"}


def return_frame_b(frame_a: Tensor, frame_b: Tensor, alpha: Tensor) -> Tensor:
    """The floor: no magnification at all."""
    return frame_b


def methods(
    sources: list[str], device: torch.device, classical: Sequence[ClassicalName] = ("linear",)
) -> dict[str, Method]:
    """The magnifiers, and beside them "return frame B" and classical methods.

    Args:
        sources: Weights, each as of ``load_magnifier``.
        device: Where magnifiers run, in float32.
        classical: Which classical methods.

    Returns:
        Methods by name: a source that ships by its name, a file by its path.

    Raises:
        InputError: A source is unusable, or something is named twice or unknown.
    """
    if len(set(classical)) < len(classical) or not set(classical) <= _CLASSICAL.keys():
        accepted = ", ".join(get_args(ClassicalName))
        raise InputError(f"classical = {[*classical]}: must be some of {accepted}, each once")
    found: dict[str, Method] = {}
    for source in sources:
        if source in found:
            raise InputError(f"weights: '{source}' is named twice")
        found[source] = magnifying(load_magnifier(source).to(device))
    untrained = {_CLASSICAL[name]: functools.partial(magnify_pair, METHODS[name]()) for name in classical}
    return {**found, FRAME_B: return_frame_b, **untrained}


class MagnifierMethod:
    """A magnifier as a method, in float32.

    Attributes:
        magnifier: It itself, in evaluation mode, for protocols that encode a frame once or look inside.
    """

    def __init__(self, magnifier: Magnifier) -> None:
        self.magnifier = magnifier.eval()

    def __call__(self, frame_a: Tensor, frame_b: Tensor, alpha: Tensor) -> Tensor:
        """Magnify frames; see ``Method``."""
        with exact_float32(frame_a.device.type):
            return self.magnifier(frame_a, frame_b, alpha)


def magnifying(magnifier: Magnifier) -> MagnifierMethod:
    """A magnifier as a method, in float32."""
    return MagnifierMethod(magnifier)


def streaming_method(method: Method) -> StreamingMethod | None:
    """The method in the form that streams of frames are magnified with; ``None`` where it has none."""
    if isinstance(method, MagnifierMethod):
        return Learned(method.magnifier)
    return method.args[0] if isinstance(method, functools.partial) else None


def titles(names: Iterable[str]) -> dict[str, str]:
    """Names for tables: that of the run for a checkpoint, the file's for a file; in full where two are alike."""
    short = {name: _title(name) for name in names}
    return {name: name if list(short.values()).count(text) > 1 else text for name, text in short.items()}


def _title(name: str) -> str:
    path = Path(name)
    if path.suffix == ".ckpt":
        return path.parent.parent.name or path.stem
    return path.stem if path.suffix else _TITLES.get(name, name)
