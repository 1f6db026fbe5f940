"""Equal canonical forms exactly where two configs are one network."""

import random
from dataclasses import fields, replace

import pytest
import torch
from random_architectures import random_architecture

from lightning_mm.models import Magnifier, MagnifierConfig

# Each value goes into each base that accepts it.
CHANGES = {
    "encoder": ("residual", "linear", "linear_single"),
    "encoder_blocks": ((0, 0, 0), (3, 2, 2), (1, 1, 0), (1, 0, 1)),
    "encoder_channels": (2, 4),
    "manipulator_block": (True, False),
    "decoder_depth": (0, 1, 2),
    "decoder_channels": (4, 6, 8),
    "upsample_channels": (None, 4, 6),
    "downsample_channels": (None, 4, 6),
    "bottleneck": (2, 4, 8),
    "alpha_convention": ("alpha", "alpha_minus_one"),
    "residual_scale": (1, 1.0, 0.5),
    "encoder_body": (None, ("conv3", "conv3"), ("dilated3", "conv3"), ("conv3", "dilated3"), ()),
    "encoder_kernel": (None, 3, 7, 9, 13),
    "stem_channels": (None, 1, 2, 3),
    "decoder_body": (None, ("conv3",), ("dilated3",), ("separable7",), ("dilated3", "conv3"), ("conv3", "dilated3")),
    "exit_projection": (True, False),
    "upsampling": ("nearest", "pixel_shuffle"),
    "output_kernel": (1, 3, 7),
    "linear_blocks": ((), ("decoder",), ("decoder.0",), ("decoder.1", "decoder.0"), ("encoder", "manipulator.0")),
    "plain_blocks": ((), ("encoder.1",), ("encoder.0", "encoder.1", "manipulator"), ("decoder", "decoder.1")),
}
TINY = {"encoder_channels": 4, "decoder_channels": 4, "decoder_depth": 0}
BASES = {
    "linear": MagnifierConfig(**TINY),
    "linear, one block": MagnifierConfig(**TINY | {"decoder_depth": 1}),
    "single, half": MagnifierConfig("linear_single", **TINY, bottleneck=2),
    "residual without a block": MagnifierConfig("residual", (0, 0, 0), **TINY),
    "residual": MagnifierConfig("residual", (1, 0, 1), **TINY | {"decoder_depth": 2}, upsample_channels=6),
    "shuffled, eighth": MagnifierConfig(**TINY, bottleneck=8, upsampling="pixel_shuffle", upsample_channels=6),
    "manipulator's block": MagnifierConfig(**TINY, manipulator_block=True, residual_scale=0.5),
    "much that is not used": MagnifierConfig(
        **TINY,
        encoder_blocks=(1, 1, 0),
        encoder_body=("conv5",),
        stem_channels=7,
        encoder_kernel=9,
        upsample_channels=4,
        downsample_channels=9,
        bottleneck=2,
        exit_projection=False,
        residual_scale=0.25,
    ),
}


def is_one_network(one, other):
    """By names, shapes, and outputs of equal weights."""
    torch.manual_seed(0)
    first, second = Magnifier(one), Magnifier(other)
    shapes = [{name: value.shape for name, value in m.state_dict().items()} for m in (first, second)]
    if shapes[0] != shapes[1]:
        return False
    for parameter in first.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    second.load_state_dict(first.state_dict())
    a, b = torch.rand(2, 1, 3, 21, 38) * 2 - 1
    with torch.no_grad():
        return torch.equal(first(a, b, 3.0), second(a, b, 3.0))


def changed(base, name, value):
    try:
        return replace(base, **{name: value})
    except ValueError:
        return None


def test_every_field_is_changed():
    assert CHANGES.keys() == {field.name for field in fields(MagnifierConfig)}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("base", BASES)
def test_equal_exactly_where_it_is_one_network(base, name):
    before = BASES[base]
    for value in CHANGES[name]:
        after = changed(before, name, value)
        if after is not None:
            assert (after.canonical() == before.canonical()) == is_one_network(before, after), value


@pytest.mark.parametrize("seed", range(60))
def test_canonical_form_of_any_architecture(seed):
    config = random_architecture(random.Random(seed))
    canonical = config.canonical()
    assert is_one_network(config, canonical)
    assert canonical.canonical() == canonical
    assert hash(canonical) == hash(config.canonical())
    assert canonical.min_size == config.min_size


def test_presets_are_canonical():
    for preset in (MagnifierConfig.proposed(), MagnifierConfig.baseline()):
        assert preset.canonical() == preset


def test_what_is_not_used_and_what_is_said_twice_goes():
    assert BASES["much that is not used"].canonical() == MagnifierConfig(**TINY, bottleneck=2)
    said = MagnifierConfig("residual", encoder_channels=8, stem_channels=4, encoder_kernel=5, downsample_channels=32)
    assert said.canonical() == MagnifierConfig("residual", encoder_channels=8)
    kept = MagnifierConfig("residual", stem_channels=4, upsample_channels=8, exit_projection=False, residual_scale=0.5)
    assert kept.canonical() == kept
    assert MagnifierConfig(encoder_kernel=13).canonical().encoder_kernel == 13
    assert MagnifierConfig("linear_single", encoder_kernel=13).canonical().encoder_kernel is None
    named = MagnifierConfig("residual", (1, 1, 0), linear_blocks=("decoder", "decoder.3", "encoder.1", "encoder.0"))
    assert named.canonical().linear_blocks == ("encoder", "decoder")
    assert MagnifierConfig(plain_blocks=("encoder", "decoder.9", "decoder.10")).canonical().plain_blocks == (
        "decoder.9",
        "decoder.10",
    )
    assert isinstance(MagnifierConfig(residual_scale=1).canonical().residual_scale, float)
