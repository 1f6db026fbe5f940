"""Methods by name, made from what a command was told."""

from typing import Literal, get_args

import torch

from lightning_mm.errors import InputError
from lightning_mm.inference.prepare import Backend, Precision, prepare
from lightning_mm.magnification.learned import Learned
from lightning_mm.method import Method
from lightning_mm.weights import load_magnifier

MethodName = Literal["learned", "linear", "phase", "riesz"]

WEIGHTS = "proposed"


def make_method(
    name: MethodName = "learned",
    weights: str | None = None,
    device: torch.device | str = "cpu",
    backend: Backend = "eager",
    precision: Precision = "float32",
    tile: int | None = None,
) -> Method:
    """Make a method ready to run.

    Args:
        name: "learned" is a trained magnifier; the others are classical and need no weights: "linear" (Wu et al.,
            2012), "phase" (Wadhwa et al., 2013), "riesz" (Wadhwa et al., 2014).
        weights: Of a learned method, as of ``load_magnifier``; the proposed model when left out.
        device: Where to compute.
        backend: Of a learned method, see ``prepare``.
        precision: Of a learned method, see ``prepare``.
        tile: Of a learned method, see ``Learned``.

    Raises:
        InputError: Unknown, unusable, or an option of learned methods given to another.
    """
    if name not in get_args(MethodName):
        raise InputError(f"method = '{name}': must be one of {', '.join(get_args(MethodName))}")
    if name == "learned":
        return Learned(
            prepare(load_magnifier(WEIGHTS if weights is None else weights), device, backend, precision), tile
        )
    for option, value, default in (
        ("weights", weights, None),
        ("backend", backend, "eager"),
        ("precision", precision, "float32"),
        ("tile", tile, None),
    ):
        if value != default:
            raise InputError(f"{option} = {value}: goes with method = learned, here method = {name}")
    from lightning_mm.classical.methods import METHODS

    return METHODS[name]()
