"""The weights file: a safetensors file that also says which network it is for and where its numbers come from.

The safetensors header's metadata holds five strings::

    format            "lightning_mm.weights"
    version           "1"
    arch              fields of MagnifierConfig, JSON
    info              fields of WeightsInfo, JSON
    tensors_sha256    see tensors_digest

Equal content gives equal bytes.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lightning_mm.errors import InputError, first_line
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights.checkpoint import load_weights

FORMAT, VERSION = "lightning_mm.weights", "1"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class WeightsInfo:
    """Where weights come from and what they were measured to do. Plain JSON types only.

    Attributes:
        description: What they are, in a sentence.
        metrics: For each validation set, by name: "identity" of its pairs, "definitions" of the metrics in words,
            and "methods", the metrics of these weights and of what they are compared with, by name.
        log: One entry for each stretch of training, in order: date, hardware, steps, batch size and so on.
        data: What they were trained on.
        licence: Terms under which they may be used.

    Raises:
        ValueError: A field is of another kind; the message names the field and what is accepted.
    """

    description: str
    metrics: dict[str, Any]
    log: list[dict[str, Any]]
    data: str
    licence: str

    def __post_init__(self) -> None:
        """Check the kind of every field."""
        for name in ("description", "data", "licence"):
            self._require(name, isinstance(getattr(self, name), str), "a text")
        self._require("log", isinstance(self.log, list) and _all_dicts(self.log), "a list of mappings")
        parts = {"identity", "definitions", "methods"}
        sets: list[Any] = list(self.metrics.values()) if isinstance(self.metrics, dict) else [None]
        fine = _all_dicts(sets) and all(one.keys() == parts and _all_dicts(list(one.values())) for one in sets)
        self._require("metrics", fine, f"a mapping of validation sets to {', '.join(sorted(parts))}, mappings each")

    def _require(self, field: str, condition: bool, accepted: str) -> None:
        if not condition:
            raise ValueError(f"WeightsInfo.{field}: must be {accepted}")


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds.

    Attributes:
        arch: The architecture.
        state: float32 tensors by the names of ``Magnifier.state_dict``, on the CPU.
        info: Where they come from.
        digest: ``tensors_digest`` of the state, 64 hex digits.
    """

    arch: MagnifierConfig
    state: dict[str, Tensor]
    info: WeightsInfo
    digest: str


def write_weights(path: Path, state: dict[str, Tensor], arch: MagnifierConfig, info: WeightsInfo) -> None:
    """Write a weights file, whole or not at all.

    Args:
        path: The file, .safetensors; replaced where it exists.
        state: Weights by the names of ``Magnifier.state_dict``; they are written as float32.
        arch: The architecture that they are for.
        info: Where they come from.

    Raises:
        InputError: The path has another suffix or cannot be written, the weights do not fit the architecture or are
            not finite, or ``info`` is not plain JSON.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{path}: a weights file must end in {SUFFIX}")
    load_weights(Magnifier(arch), state, str(path))
    # Clones, for safetensors refuses tensors that share memory.
    tensors = {name: value.detach().to("cpu", torch.float32, copy=True).contiguous() for name, value in state.items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "arch": json.dumps(arch.to_dict(), sort_keys=True),
        "info": _plain_json(asdict(info), path),
        "tensors_sha256": tensors_digest(tensors),
    }
    content = _in_fixed_order(save(tensors, metadata))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def read_weights(path: Path) -> WeightsFile:
    """Read a weights file and check that it is undamaged.

    Args:
        path: A file that ``write_weights`` wrote.

    Returns:
        Its content. Whether the weights fit the architecture is for ``load_weights`` to say.

    Raises:
        InputError: The file is missing, cut short or damaged, of another program or of an unknown version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Clones, for the tensors of safetensors are views of the file.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({first_line(error)[:160]})") from None
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not a weights file of lightning_mm")
    if metadata.get("version") != VERSION:
        raise InputError(f"{path}: a weights file of version {metadata.get('version')}; this program reads {VERSION}")
    for key in ("arch", "info", "tensors_sha256"):
        if key not in metadata:
            raise InputError(f"{path}: a weights file whose metadata lacks '{key}'")
    digest = tensors_digest(state)
    if digest != metadata["tensors_sha256"]:
        raise InputError(f"{path}: damaged: its tensors have another SHA-256 than it says; get the file again")
    try:
        arch = MagnifierConfig(**json.loads(metadata["arch"]))
        info = WeightsInfo(**json.loads(metadata["info"]))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: a weights file whose metadata is wrong ({first_line(error)[:160]})") from None
    return WeightsFile(arch, state, info, digest)


def tensors_digest(state: dict[str, Tensor]) -> str:
    """SHA-256 of tensors, 64 hex digits: each one's JSON [name, dtype, shape], a line feed, its bytes; sorted by name.

    The bytes are little-endian in C order; the dtype is torch's name of it, such as "float32".
    """
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(json.dumps([name, str(value.dtype).removeprefix("torch."), list(value.shape)]).encode() + b"\n")
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _in_fixed_order(content: bytes) -> bytes:
    """The same safetensors file with its header sorted: the library writes metadata in a random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # keeps the tensors aligned
    return len(header).to_bytes(8, "little") + header + content[end:]


def _plain_json(value: dict[str, Any], path: Path) -> str:
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: info is not plain JSON ({first_line(error)})") from None
    back = json.loads(text)
    for field in fields(WeightsInfo):
        if back[field.name] != value[field.name]:  # tuples and keys that are no text come back otherwise
            raise InputError(f"{path}: info is not plain JSON ({field.name} does not come back as it was)")
    return text


def _all_dicts(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)
