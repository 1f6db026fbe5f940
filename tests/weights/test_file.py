"""The weights file: what comes back, and every kind of damage."""

import hashlib
import json
import os
import random
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from random_architectures import random_architecture
from tiny_weights import ARCH, INFO

from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights import WeightsInfo, read_weights, write_weights
from lightning_mm.weights.describe import describe

WEIGHT = "decoder.body.0.conv1.weight"


def split(path):
    """Header and payload, by the definition of the safetensors format."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(path, header, payload):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)


def message_of(path):
    """The error's message, which is one line that starts with the file's name."""
    with pytest.raises(InputError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_round_trip(path, magnifier):
    read = read_weights(path)
    assert (read.arch, read.info) == (ARCH, INFO)
    assert read.state.keys() == magnifier.state_dict().keys()
    for name, value in magnifier.state_dict().items():
        assert read.state[name].dtype == torch.float32
        assert torch.equal(read.state[name], value), name


@pytest.mark.parametrize("seed", range(8))
def test_any_architecture_comes_back(tmp_path, seed):
    arch = random_architecture(random.Random(seed))
    state = Magnifier(arch).state_dict()
    write_weights(tmp_path / "any.safetensors", state, arch, INFO)
    read = read_weights(tmp_path / "any.safetensors")
    assert read.arch == arch
    assert all(torch.equal(read.state[name], value) for name, value in state.items())
    Magnifier(read.arch).load_state_dict(read.state)


FIRST_FIELDS = [
    *("encoder", "encoder_blocks", "encoder_channels", "manipulator_block", "decoder_depth", "decoder_channels"),
    *("upsample_channels", "downsample_channels", "bottleneck", "alpha_convention", "residual_scale"),
]


def test_a_file_that_does_not_name_every_field_is_of_the_papers_blocks_and_tail(path):
    header, payload = split(path)
    arch = json.loads(header["__metadata__"]["arch"])
    header["__metadata__"]["arch"] = json.dumps({name: arch[name] for name in FIRST_FIELDS})
    join(path, header, payload)
    assert read_weights(path).arch == ARCH
    assert any(
        f"{sum(v.numel() for v in read_weights(path).state.values()):,} parameters" in line for line in describe(path)
    )


def test_any_reader_of_safetensors_reads_it(path, magnifier):
    tensors = safetensors.torch.load_file(path)
    assert tensors.keys() == magnifier.state_dict().keys()
    assert all(torch.equal(tensors[name], value) for name, value in magnifier.state_dict().items())
    header, payload = split(path)
    begin, end = header[WEIGHT]["data_offsets"]
    values = np.frombuffer(payload[begin:end], "<f4").reshape(header[WEIGHT]["shape"])
    assert np.array_equal(values, magnifier.state_dict()[WEIGHT].numpy())
    assert (path.stat().st_size - len(payload)) % 8 == 0  # so that tensors are aligned for readers that map the file


def test_the_digest_is_what_its_definition_says(path, magnifier):
    found = hashlib.sha256()
    for name, value in sorted(magnifier.state_dict().items()):
        shape = ", ".join(map(str, value.shape))
        found.update(f'["{name}", "float32", [{shape}]]\n'.encode() + value.numpy().astype("<f4").tobytes())
    assert read_weights(path).digest == found.hexdigest() == split(path)[0]["__metadata__"]["tensors_sha256"]


def test_equal_content_gives_equal_bytes(path, magnifier):
    backwards = dict(reversed(magnifier.state_dict().items()))
    shuffled = replace(INFO, metrics={k: dict(reversed(v.items())) for k, v in INFO.metrics.items()})
    for number in range(8):  # metadata come in a random order out of the library
        other = path.with_name(f"{number}.safetensors")
        write_weights(other, backwards, MagnifierConfig(**ARCH.to_dict()), shuffled)
        assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("change", ["value", "arch", "info"])
def test_other_content_gives_other_bytes(path, magnifier, change):
    state, other = magnifier.state_dict(), path.with_name("other.safetensors")
    if change == "value":
        state[WEIGHT] = state[WEIGHT].nextafter(torch.tensor(9.0))
    arch = replace(ARCH, residual_scale=0.5) if change == "arch" else ARCH
    write_weights(other, state, arch, replace(INFO, data="photos") if change == "info" else INFO)
    assert other.read_bytes() != path.read_bytes()
    assert (read_weights(other).digest == read_weights(path).digest) == (change != "value")


def test_what_is_in_memory_otherwise_is_written_as_float32_in_c_order(path, magnifier):
    state = {name: value.to(torch.bfloat16) for name, value in magnifier.state_dict().items()}
    state[WEIGHT] = state[WEIGHT].to(memory_format=torch.channels_last)
    state["decoder.body.0.conv2.weight"] = state[WEIGHT]  # shares its memory
    write_weights(path, state, ARCH, INFO)
    for name, value in read_weights(path).state.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name].float()), name


def test_what_was_read_does_not_depend_on_the_file(path, magnifier):
    state = read_weights(path).state
    with open(path, "r+b") as file:
        file.truncate(8)
        file.write(bytes(path.stat().st_size))
    assert torch.equal(state[WEIGHT], magnifier.state_dict()[WEIGHT])


@pytest.mark.parametrize("place", [0.0, 0.3, 0.77, 1.0])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_is_refused(path, place, bit):
    header, payload = split(path)
    payload = bytearray(payload)
    payload[int(place * (len(payload) - 1))] ^= 1 << bit
    join(path, header, payload)
    assert message_of(path).startswith("damaged: ")


def test_tensors_under_swapped_names_are_refused(path):
    header, payload = split(path)
    one, two = "decoder.body.0.conv1.weight", "decoder.body.0.conv2.weight"
    header[one], header[two] = header[two], header[one]
    join(path, header, payload)
    assert message_of(path).startswith("damaged: ")


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.1, 0.5, 0.999])
def test_a_file_cut_short_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert message_of(path).startswith("not a readable safetensors file (")


@pytest.mark.parametrize("content", [b"hello\n", b"%PDF-1.7\n" * 99, b"\x08" + bytes(7) + b"[1,2,3] "])
def test_what_is_no_safetensors_file_is_refused(path, content):
    path.write_bytes(content)
    assert message_of(path).startswith("not a readable safetensors file (")


def test_missing_file_and_folder(tmp_path):
    assert message_of(tmp_path / "none.safetensors") == "no such weights file"
    assert message_of(tmp_path) == "no such weights file"


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"version": "1"}])
def test_a_safetensors_file_of_another_program_is_refused(path, metadata):
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, metadata)
    assert message_of(path) == "a safetensors file, but not a weights file of lightning_mm"


@pytest.mark.parametrize("version", ["2", "1.1", None])
def test_an_unknown_version_is_refused(path, version):
    header, payload = split(path)
    header["__metadata__"]["version"] = version
    if version is None:
        del header["__metadata__"]["version"]
    join(path, header, payload)
    assert message_of(path) == f"a weights file of version {version}; this program reads 1"


@pytest.mark.parametrize("key", ["arch", "info", "tensors_sha256"])
def test_missing_metadata_are_named(path, key):
    header, payload = split(path)
    del header["__metadata__"][key]
    join(path, header, payload)
    assert message_of(path) == f"a weights file whose metadata lacks '{key}'"


WRONG = {
    "not JSON": ("arch", "{encoder", "Expecting"),
    "a list": ("arch", "[1]", "must be a mapping"),
    "unknown field": ("arch", {**ARCH.to_dict(), "attention": True}, "attention"),
    "out of range": ("arch", {**ARCH.to_dict(), "bottleneck": 3}, "bottleneck = 3: must be one of"),
    "info null": ("info", "null", "must be a mapping"),
    "info lacks": ("info", {"description": "x"}, "missing"),
    "log": ("info", {"description": "", "metrics": {}, "log": [3], "data": "", "licence": ""}, "WeightsInfo.log: must"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_metadata_are_refused(path, case):
    key, value, reason = WRONG[case]
    header, payload = split(path)
    header["__metadata__"][key] = value if isinstance(value, str) else json.dumps(value)
    join(path, header, payload)
    message = message_of(path)
    assert message.startswith("a weights file whose metadata is wrong (")
    assert reason in message


KINDS = {
    "description": None,
    "data": ["a"],
    "licence": 3,
    "log": {"steps": 3},
    "metrics": [],
    "metrics ": {"set": {"identity": {}, "methods": {}}},
    "metrics  ": {"set": {"identity": {}, "methods": [], "definitions": {}}},
}


@pytest.mark.parametrize("field", KINDS)
def test_info_of_another_kind_is_refused(field):
    with pytest.raises(ValueError, match=rf"^WeightsInfo\.{field.strip()}: must be a "):
        replace(INFO, **{field.strip(): KINDS[field]})


@pytest.mark.parametrize(
    "entry",
    [{"crop": (64, 64)}, {3: "three"}, {"loss": float("nan")}, {"data": Path("photos")}, {"steps": torch.tensor(3)}],
    ids=str,
)
def test_info_that_json_cannot_hold_is_refused_and_nothing_written(path, magnifier, entry):
    before = path.read_bytes()
    info = WeightsInfo("", {}, [entry], "", "")
    with pytest.raises(InputError, match=f"^{path}: info is not plain JSON ") as caught:
        write_weights(path, magnifier.state_dict(), ARCH, info)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("fault", ["missing", "nan", "arch"])
def test_weights_that_do_not_fit_are_not_written(path, magnifier, fault):
    state, arch = magnifier.state_dict(), ARCH
    if fault == "missing":
        del state[WEIGHT]
    elif fault == "nan":
        state[WEIGHT] = torch.full_like(state[WEIGHT], torch.nan)
    else:
        arch = MagnifierConfig.proposed()
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"^{path}: "):
        write_weights(path, state, arch, INFO)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_file_before(path, monkeypatch):
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=f"^{path}: cannot be written .No space left on device.$"):
        write_weights(path, Magnifier(ARCH).state_dict(), ARCH, INFO)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_place_that_cannot_be_written_to_is_named(path, magnifier):
    below = path / "below.safetensors"
    with pytest.raises(InputError, match=f"^{below}: cannot be written "):
        write_weights(below, magnifier.state_dict(), ARCH, INFO)


def test_another_suffix_is_refused(tmp_path, magnifier):
    with pytest.raises(InputError, match=r"mine\.ckpt: a weights file must end in \.safetensors"):
        write_weights(tmp_path / "mine.ckpt", magnifier.state_dict(), ARCH, INFO)
    assert os.listdir(tmp_path) == []
