"""Checkpoints of ``lightning-mm fit``, read with the weights-only unpickler: a checkpoint cannot run code."""

from pathlib import Path
from typing import Any

import torch

from lightning_mm.errors import InputError, first_line
from lightning_mm.models import Magnifier, MagnifierConfig

STATE_PREFIX = "magnifier."
HOW_TO_GET_ONE = "train one with 'make train', which writes runs/proposed/checkpoints/best.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file as plain data and tensors.

    Raises:
        InputError: The file is missing, or torch cannot read it safely.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; {HOW_TO_GET_ONE}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch raises many kinds here: EOFError, UnpicklingError, RuntimeError, KeyError, OSError
        raise InputError(f"{path}: not a readable checkpoint ({first_line(error)[:160]})") from None
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: not a checkpoint of 'lightning-mm fit' (holds a {type(checkpoint).__name__})")
    return checkpoint


def checkpoint_magnifier(path: Path) -> tuple[MagnifierConfig, dict[str, torch.Tensor]]:
    """The architecture and the weights in a checkpoint of ``lightning-mm fit``; with EMA training, the averaged ones.

    Raises:
        InputError: The file is missing, unreadable or no checkpoint of this program.
    """
    checkpoint = read_checkpoint(path)
    try:
        arch = MagnifierConfig(**checkpoint["hyper_parameters"]["arch"])
        state = checkpoint["state_dict"]
        weights = {k.removeprefix(STATE_PREFIX): v for k, v in state.items() if k.startswith(STATE_PREFIX)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a checkpoint of 'lightning-mm fit' ({type(error).__name__}: {error})") from None
    return arch, weights


def load_weights(magnifier: Magnifier, state: dict[str, torch.Tensor], source: str) -> None:
    """Copy weights into a magnifier after checking every name, shape and value.

    Raises:
        InputError: A weight is missing, unknown, of another shape, or not finite; the message names the first.
    """
    own = magnifier.state_dict()
    for name in sorted(own.keys() ^ state.keys()):
        what = "lacks the weight" if name in own else "has an unknown weight"
        raise InputError(f"{source}: {what} '{name}' (of another architecture?)")
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{source}: weight '{name}' is no tensor but a {type(value).__name__}")
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)}, the architecture needs {tuple(own[name].shape)}"
            raise InputError(f"{source}: weight '{name}' has shape {shapes}")
        if not torch.isfinite(value).all():
            raise InputError(f"{source}: weight '{name}' is not finite")
    magnifier.load_state_dict(state)
