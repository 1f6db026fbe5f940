"""The port's network is written out here a second time, from its layer table, in plain functional calls."""

import hashlib
import math
import os
import pickle
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F

from lightning_mm.cli import main
from lightning_mm.weights import load_magnifier, read_weights

# (name, channels in, channels out, kernel size); a block is two convolutions, conv1 and conv2.
CONVOLUTIONS = [
    ("encoder.res_encoder.conv1", 3, 16, 7),
    ("encoder.res_encoder.conv2", 16, 32, 3),
    ("encoder.conv_tex", 32, 32, 3),
    ("encoder.conv_sha", 32, 32, 3),
    ("decoder.conv_tex_aft_upsample", 32, 32, 3),
    ("decoder.res_decoder.conv_up_sample", 64, 64, 3),
    ("decoder.res_decoder.conv1", 64, 32, 3),
    ("decoder.res_decoder.conv2", 32, 3, 7),
    ("res_manipulator.conv1", 32, 32, 7),
    ("res_manipulator.conv2", 32, 32, 3),
]
BLOCKS = [
    ("encoder.res_encoder.residual", 32, 3),
    ("encoder.texture_resblk", 32, 2),
    ("encoder.shape_resblk", 32, 2),
    ("decoder.res_decoder.residual", 64, 9),
    ("res_manipulator.residual", 32, 1),
]
WEIGHT = "decoder.res_decoder.residual.8.conv2.weight"


def port_state(seed=0):
    """Random weights by the port's names; every layer, bias and block of it matters to the output."""
    torch.manual_seed(seed)
    layers = list(CONVOLUTIONS)
    for name, width, count in BLOCKS:
        layers += [(f"{name}.{i}.conv{j}", width, width, 3) for i in range(count) for j in (1, 2)]
    state = OrderedDict()
    for name, c_in, c_out, size in layers:
        state[f"{name}.weight"] = torch.randn(c_out, c_in, size, size) / math.sqrt(c_in * size * size)
        state[f"{name}.bias"] = 0.1 * torch.randn(c_out)
    return state


def port_forward(state, frame_a, frame_b, factor):
    """Output of the port in the precision of its arguments."""
    state = {name: value.to(frame_a.dtype) for name, value in state.items()}

    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        padded = F.pad(x, [weight.shape[-1] // 2] * 4, mode="reflect")
        return F.conv2d(padded, weight, state[f"{name}.bias"], stride=stride)

    def blocks(name, count, x):
        for i in range(count):
            x = x + conv(f"{name}.{i}.conv2", F.relu(conv(f"{name}.{i}.conv1", x)))
        return x

    def encode(x):
        x = F.relu(conv("encoder.res_encoder.conv1", x))
        x = F.relu(conv("encoder.res_encoder.conv2", x, 2))
        x = blocks("encoder.res_encoder.residual", 3, x)
        texture = blocks("encoder.texture_resblk", 2, F.relu(conv("encoder.conv_tex", x, 2)))
        return texture, blocks("encoder.shape_resblk", 2, F.relu(conv("encoder.conv_sha", x)))

    def twice(x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    (_, shape_a), (texture, shape_b) = encode(frame_a), encode(frame_b)
    change = conv("res_manipulator.conv2", factor * F.relu(conv("res_manipulator.conv1", shape_b - shape_a)))
    shape = shape_b + blocks("res_manipulator.residual", 1, change)
    texture = F.relu(conv("decoder.conv_tex_aft_upsample", twice(texture)))
    x = blocks("decoder.res_decoder.residual", 9, torch.cat([texture, shape], 1))
    x = F.relu(conv("decoder.res_decoder.conv_up_sample", twice(x)))
    return conv("decoder.res_decoder.conv2", F.relu(conv("decoder.res_decoder.conv1", x)))


def frames(height, width, dtype):
    torch.manual_seed(5)
    both = 2 * torch.rand(2, 1, 3, height, width, dtype=dtype) - 1
    return both[0], both[1]


def content_of(tensor):
    assert tensor.dtype == torch.float32
    return tensor.numpy().tobytes()


def relative(value, reference):
    return ((value - reference).abs().max() / reference.abs().max()).item()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def converted(content, *options):
    """Convert in the current directory through the command, and load."""
    torch.save(content, "epoch50.tar")
    assert main(["convert", "epoch50.tar", "out.safetensors", *options]) == 0
    return load_magnifier("./out.safetensors")


def refused(content, here, capsys, args=("epoch50.tar", "out.safetensors")):
    """The one line that the command says of wrong input; it must write nothing and exit with 2."""
    if content is not None:
        torch.save(content, "epoch50.tar")
    before = {path: path.read_bytes() for path in here.iterdir()}
    assert main(["convert", *args]) == 2
    out, err = capsys.readouterr()
    assert (len(err.splitlines()), out) == (1, ""), err
    assert {path: path.read_bytes() for path in here.iterdir()} == before
    return err.strip().removeprefix("lightning-mm: error: ")


def test_the_table_has_the_parameters_of_the_paper():
    assert sum(value.numel() for value in port_state().values()) == 966_979


@pytest.mark.parametrize("size", [(24, 32), (36, 20)])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5, 20.0])
def test_output_is_that_of_the_port(size, alpha, here):
    state = port_state()
    magnifier = converted({"epoch": 50, "model_state_dict": state, "val_loss": 0.1})
    with torch.no_grad():
        a, b = frames(size[0], size[1], torch.float64)
        expected = port_forward(state, a, b, alpha)
        single = magnifier(a.float(), b.float(), alpha)
        assert relative(single.double(), expected) < 1e-5
        magnifier.double()  # past encode(), which computes in float32 whatever it is given
        (_, shape_a), (texture, shape_b) = magnifier.encoder(a), magnifier.encoder(b)
        double = magnifier.decoder(texture, magnifier.manipulator(shape_a, shape_b, alpha))
        assert relative(double, expected) < 1e-12
        assert relative(port_forward(state, a, b, alpha + 0.1), expected) > 1e-4  # or the comparison would say nothing


def test_every_weight_matters_to_the_output():
    state = {name: value.requires_grad_() for name, value in port_state().items()}
    a, b = frames(16, 16, torch.float32)
    port_forward(state, a, b, 3.0).square().sum().backward()
    assert [name for name, value in state.items() if value.grad is None or not value.grad.any()] == []


def test_alpha_minus_one(here):
    state = port_state()
    magnifier = converted(state, "--alpha_convention=alpha_minus_one")
    a, b = frames(16, 24, torch.float32)
    with torch.no_grad():
        assert relative(magnifier(a, b, 4.0), port_forward(state, a, b, 3.0)) < 1e-5
    assert magnifier.config.alpha_convention == "alpha_minus_one"


WRAPPED = {
    "plain": lambda state: state,
    "model_state_dict": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer(state)},
    "another key": lambda state: {"net": state},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "wrapped and parallel": lambda state: {"state_dict": {f"module.{name}": v for name, v in state.items()}},
    "parameters": lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()},
    "double precision": lambda state: {name: value.double() for name, value in state.items()},
    "another order": lambda state: dict(reversed(state.items())),
}


def optimizer(state):
    parameters = [torch.nn.Parameter(value.clone()) for value in state.values()]
    adam = torch.optim.Adam(parameters)
    torch.stack([value.sum() for value in parameters]).sum().backward()
    adam.step()
    return adam.state_dict()


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("zipped", [True, False])
def test_each_form_of_file_gives_the_same_weights(wrap, zipped, here, capsys):
    state = port_state()
    torch.save(wrap(state), "in.pth", _use_new_zipfile_serialization=zipped)
    assert main(["convert", "in.pth", "out.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("wrote out.safetensors: 966,979 parameters, factor alpha\n", "")
    found = read_weights(here / "out.safetensors")
    assert found.arch.alpha_convention == "alpha"
    # The order of layers is what the tests of the output are about.
    assert sorted(map(content_of, found.state.values())) == sorted(map(content_of, port_state().values()))
    assert content_of(found.state["encoder.shape.2.1.conv2.bias"]) == content_of(
        state["encoder.shape_resblk.1.conv2.bias"]
    )
    assert hashlib.sha256((here / "in.pth").read_bytes()).hexdigest() in found.info.description


def test_the_same_input_gives_the_same_bytes(here):
    torch.save(port_state(), "in.pth")
    os.link("in.pth", "moved.pth")
    for source, output in [("in.pth", "1.safetensors"), ("moved.pth", "2.safetensors"), ("in.pth", "1.safetensors")]:
        assert main(["convert", source, output]) == 0
    assert (here / "1.safetensors").read_bytes() == (here / "2.safetensors").read_bytes()


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


WRONG = {
    "missing": (lambda s: without(s, WEIGHT), [f"lacks the weight '{WEIGHT}'"]),
    "missing bias": (lambda s: without(s, "encoder.conv_sha.bias"), ["lacks the weight 'encoder.conv_sha.bias'"]),
    "surplus": (lambda s: {**s, "decoder.extra.weight": torch.ones(1)}, ["'decoder.extra.weight', which"]),
    "surplus with a line break": (lambda s: {**s, "a\nb": torch.ones(1)}, [r"'a\nb'"]),
    "half of it parallel": (lambda s: {**without(s, WEIGHT), f"module.{WEIGHT}": s[WEIGHT]}, [f"'{WEIGHT}'"]),
    "shape": (lambda s: {**s, WEIGHT: torch.ones(64, 32, 3, 3)}, [WEIGHT, "(64, 32, 3, 3)", "(64, 64, 3, 3)"]),
    "same count, other shape": (lambda s: {**s, WEIGHT: s[WEIGHT].reshape(64, 64, 9, 1)}, [WEIGHT, "(64, 64, 9, 1)"]),
    "no tensor": (lambda s: {**s, WEIGHT: 3}, [WEIGHT, "int"]),
    "whole numbers": (lambda s: {**s, WEIGHT: s[WEIGHT].long()}, [WEIGHT, "torch.int64"]),
    "sparse": (lambda s: {**s, "encoder.conv_sha.bias": s["encoder.conv_sha.bias"].to_sparse()}, ["no dense"]),
    "not finite": (lambda s: {**s, WEIGHT: s[WEIGHT] / 0}, [WEIGHT, "not finite"]),
    "too large for float32": (lambda s: {**s, WEIGHT: s[WEIGHT].double() * 1e300}, [WEIGHT, "not finite"]),
    "twice": (lambda s: {"model": s, "ema": s}, ["more than once", "'model', 'ema'"]),
    "another network": (lambda s: torch.nn.Linear(2, 2).state_dict(), ["no weights of the PyTorch port"]),
    "no weights": (lambda s: {"epoch": 3}, ["no weights of the PyTorch port"]),
    "a list": (lambda s: list(s.values()), ["no weights of the PyTorch port"]),
    "nested too deep": (lambda s: {"a": {"b": s}}, ["no weights of the PyTorch port"]),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_anything_but_the_port_is_refused(change, words, here, capsys):
    line = refused(change(port_state()), here, capsys)
    assert line.startswith("epoch50.tar: ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize("names", ["of the original", "of the port"])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_weights_without_biases_are_explained(names, wrap, here, capsys):
    state = {name: value for name, value in port_state().items() if name.endswith("weight")}
    if names == "of the original":
        state = {f"ynet_3frames/{name.replace('.', '/')}s": value for name, value in state.items()}
    line = refused(wrap(state), here, capsys)
    assert "TensorFlow original" in line
    assert "no biases" in line


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self):
        return (open, ("harm.txt", "w"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("content", [torch.nn.Conv2d(3, 3, 3), {"model": Evil()}], ids=["module", "evil"])
def test_code_is_not_run(content, zipped, here, capsys):
    torch.save(content, "epoch50.tar", _use_new_zipfile_serialization=zipped)
    line = refused(None, here, capsys)
    assert "reading it could run code" in line
    assert "weights_only" not in line


@pytest.mark.parametrize("content", [b"", b"hello there", pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(99)])
def test_files_of_another_kind_are_refused(content, here, capsys):
    (here / "epoch50.tar").write_bytes(content)
    assert refused(None, here, capsys).startswith("epoch50.tar: ")


def test_a_file_cut_short_is_refused(here, capsys):
    torch.save(port_state(), "whole.tar")
    (here / "epoch50.tar").write_bytes((here / "whole.tar").read_bytes()[:100_000])
    assert "damaged" in refused(None, here, capsys)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none.tar", "out.safetensors"], "none.tar: cannot be read (No such file"),
        ([".", "out.safetensors"], ".: cannot be read (Is a directory"),
        (["epoch50.tar", "out.ckpt"], "out.ckpt: a weights file must end in .safetensors"),
        (["in.safetensors", "./in.safetensors"], "in.safetensors: is the input"),
        (["epoch50.tar", "epoch50.tar/out.safetensors"], "cannot be written"),
        (["epoch50.tar", "out.safetensors", "--alpha_convention=beta"], "alpha_convention"),
    ],
)
def test_wrong_arguments_are_refused(args, words, here, capsys):
    torch.save(port_state(), "in.safetensors")
    assert words in refused(port_state(), here, capsys, args)
