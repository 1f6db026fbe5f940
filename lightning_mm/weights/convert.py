"""The ``convert`` command: a checkpoint of the authors' PyTorch port of Oh et al. (2018) to a weights file.

The port (github.com/kaist-ami/Deep-Motion-Mag-Pytorch, formerly postech-ami) saves a dictionary with the weights under
"model_state_dict". Layers are matched by the port's own names (its module.py), never by order: ``LAYERS`` holds all of
them. Its network is the baseline with ``alpha_convention="alpha"``, layer for layer: reflect padding and a bias in each
convolution, no ReLU after residual sums, texture of frame B. At sides that are multiples of 4, from 8 pixels, the
output is the same but for rounding; other sizes the port crops, and the magnifier pads.
"""

import hashlib
import io
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_mm.errors import InputError, first_line, one_line
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.config import AlphaConvention
from lightning_mm.weights.file import SUFFIX, WeightsInfo, write_weights

# Layers of the baseline: those of the port. Inside residual blocks the names are the same.
LAYERS = {
    "encoder.common.0": "encoder.res_encoder.conv1",
    "encoder.common.2": "encoder.res_encoder.conv2",
    "encoder.common.4": "encoder.res_encoder.residual",
    "encoder.texture.0": "encoder.conv_tex",
    "encoder.texture.2": "encoder.texture_resblk",
    "encoder.shape.0": "encoder.conv_sha",
    "encoder.shape.2": "encoder.shape_resblk",
    "manipulator.difference.0": "res_manipulator.conv1",
    "manipulator.transform.0": "res_manipulator.conv2",
    "manipulator.transform.1": "res_manipulator.residual.0",
    "decoder.texture_up.1": "decoder.conv_tex_aft_upsample",
    "decoder.body": "decoder.res_decoder.residual",
    "decoder.up.0.1": "decoder.res_decoder.conv_up_sample",
    "decoder.out.0": "decoder.res_decoder.conv1",
    "decoder.out.2": "decoder.res_decoder.conv2",
}
PARALLEL_PREFIX = "module."
PORT = "the PyTorch port of Oh et al. (2018)"
ACCEPTED = f"accepted: a checkpoint of {PORT}, github.com/kaist-ami/Deep-Motion-Mag-Pytorch, or its state dict"


def convert(input: Path, output: Path, alpha_convention: AlphaConvention = "alpha") -> None:
    """Turn a checkpoint of the authors' PyTorch port of Oh et al. (2018) into a weights file.

    It is read as plain data and tensors, so that it cannot run code. The same input gives the same bytes.

    Args:
        input: The checkpoint, such as the port's epoch50.tar: its state dict, alone or one level down in a dictionary,
            with or without the "module." that DataParallel puts in front of every name.
        output: The .safetensors file to write, for 'lightning-mm magnify --weights'; replaced where it exists.
        alpha_convention: What the network multiplies the difference of two shapes by. alpha is the port;
            alpha_minus_one is for weights of the port's layers that were trained that way, as the original was.

    Raises:
        InputError: The input is missing, unreadable, needs code to be read, or is not exactly the port's network; or
            the output cannot be written. Nothing has been written then.
    """
    input, output = Path(input), Path(output)
    if output.suffix.lower() != SUFFIX:
        raise InputError(f"{output}: a weights file must end in {SUFFIX}")
    if output.exists() and input.exists() and os.path.samefile(input, output):
        raise InputError(f"{output}: is the input; name another file to write")
    content, digest = _read(input)
    arch = replace(MagnifierConfig.baseline(), alpha_convention=alpha_convention)
    state = rename(_find_state(content, input), arch, str(input))
    info = WeightsInfo(
        description=f"baseline of Oh et al. (2018), converted from a checkpoint of its PyTorch port (SHA-256 {digest})",
        metrics={},
        log=[],
        data="not known: the checkpoint does not say",
        licence="not known: the checkpoint does not say, and its repository names none; ask its authors",
    )
    write_weights(output, state, arch, info)
    print(f"wrote {output}: {sum(value.numel() for value in state.values()):,} parameters, factor {alpha_convention}")


def rename(port: Mapping[str, Any], arch: MagnifierConfig, source: str) -> dict[str, Tensor]:
    """Weights of the port under the names of the magnifier.

    Args:
        port: The port's state dict, by its own names.
        arch: The baseline.
        source: Where they come from, for messages.

    Returns:
        The same tensors by the names of ``Magnifier.state_dict``, in its order.

    Raises:
        InputError: A weight is missing, unknown, of another shape, no dense floating-point tensor or not finite; the
            message names the first by the port's name.
    """
    own = Magnifier(arch).state_dict()
    names = {name: _port_name(name) for name in own}
    for name in names.values():
        if name not in port:
            raise InputError(f"{source}: lacks the weight '{name}'; {ACCEPTED}")
    for name in port:
        if name not in names.values():
            raise InputError(f"{source}: has the weight {name!r}, which the port has not; {ACCEPTED}")
    for name, port_name in names.items():
        value, shape = port[port_name], tuple(own[name].shape)
        if not isinstance(value, Tensor):
            raise InputError(f"{source}: weight '{port_name}' is no tensor but a {type(value).__name__}")
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
            raise InputError(f"{source}: weight '{port_name}' is no dense floating-point tensor ({value.dtype})")
        if value.shape != shape:
            shapes = f"{tuple(value.shape)}, the port's is {shape}"
            raise InputError(f"{source}: weight '{port_name}' has shape {shapes}")
        if not torch.isfinite(value.float()).all():  # float64 can hold more than the float32 that is written
            raise InputError(f"{source}: weight '{port_name}' is not finite in float32")
    return {name: port[port_name] for name, port_name in names.items()}


def _port_name(name: str) -> str:
    layer = next(layer for layer in LAYERS if name.startswith(f"{layer}."))
    return LAYERS[layer] + name.removeprefix(layer)


def _read(path: Path) -> tuple[Any, str]:
    """Content of a file of ``torch.save``, and the file's SHA-256."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles of other programs, which fail or are refused anyway
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here, as in read_checkpoint
        # torch's own message would advise to run the code.
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            named = one_line(error).partition("GLOBAL ")[2].split(" ")[0][:80] or "?"
            remedy = "if you trust it, save its state_dict() alone"
            raise InputError(
                f"{path}: holds more than tensors ({named}); reading it could run code; {remedy}"
            ) from None
        reason = first_line(error)[:120] if isinstance(error, RuntimeError) else type(error).__name__
        raise InputError(f"{path}: not a file of torch.save, or damaged ({reason}); {ACCEPTED}") from None
    return content, hashlib.sha256(data).hexdigest()


def _find_state(content: Any, path: Path) -> dict[str, Any]:
    """The one state dict of the port in a checkpoint: the content itself, or one of its entries."""
    known = set(map(_port_name, Magnifier(MagnifierConfig.baseline()).state_dict()))
    states = dict(_mappings(content))
    found = [key for key, state in states.items() if known & state.keys()]
    without_bias = [key for key, state in states.items() if _lacks_biases(state)]
    if len(found) > 1:
        keys = ", ".join(map(repr, found))
        raise InputError(f"{path}: holds weights more than once, as {keys}; save those you mean alone")
    if without_bias and (not found or found == without_bias):
        reasons = "has no biases, two layers fewer, and pads its stride-2 convolutions on other sides"
        raise InputError(f"{path}: weights without biases. The TensorFlow original {reasons}; {ACCEPTED}")
    if not found:
        raise InputError(f"{path}: holds no weights of {PORT}; {ACCEPTED}")
    return states[found[0]]


def _mappings(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dictionaries of tensors, without DataParallel's prefix: the content, under the key "", and its entries."""
    if not isinstance(content, Mapping):
        return
    for key, value in [("", content), *content.items()]:
        if isinstance(value, Mapping) and any(isinstance(tensor, Tensor) for tensor in value.values()):
            names = [str(name) for name in value]
            prefix = PARALLEL_PREFIX if all(name.startswith(PARALLEL_PREFIX) for name in names) else ""
            tensors = zip(names, value.values(), strict=True)
            yield str(key), {name.removeprefix(prefix): tensor for name, tensor in tensors}


def _lacks_biases(state: Mapping[str, Any]) -> bool:
    convolutions = any(isinstance(value, Tensor) and value.ndim == 4 for value in state.values())
    return convolutions and not any("bias" in name.lower() for name in state)
