import dataclasses
import json
import random
import re

import pytest
import torch

from lightning_mm.models import MagnifierConfig

# (fields given, field that the message must name); the value is that of the named field.
INVALID = [
    ({"encoder": "conv"}, "encoder"),
    ({"encoder": None}, "encoder"),
    ({"encoder": ["linear"]}, "encoder"),
    ({"encoder_blocks": (3, 2)}, "encoder_blocks"),
    ({"encoder_blocks": (3, 2, 2, 2)}, "encoder_blocks"),
    ({"encoder_blocks": (3, 2, -1)}, "encoder_blocks"),
    ({"encoder_blocks": (3.0, 2, 2)}, "encoder_blocks"),
    ({"encoder_blocks": (True, 2, 2)}, "encoder_blocks"),
    ({"encoder_channels": 0}, "encoder_channels"),
    ({"encoder_channels": 15}, "encoder_channels"),
    ({"encoder_channels": -2}, "encoder_channels"),
    ({"encoder_channels": 16.0}, "encoder_channels"),
    ({"encoder_channels": None}, "encoder_channels"),
    ({"decoder_depth": -1}, "decoder_depth"),
    ({"decoder_depth": 9.0}, "decoder_depth"),
    ({"decoder_depth": True}, "decoder_depth"),
    ({"decoder_depth": "9"}, "decoder_depth"),
    ({"decoder_channels": 0, "upsample_channels": 2}, "decoder_channels"),
    ({"decoder_channels": -4, "upsample_channels": 2}, "decoder_channels"),
    ({"decoder_channels": 1.5, "upsample_channels": 2}, "decoder_channels"),
    ({"upsample_channels": 0}, "upsample_channels"),
    ({"upsample_channels": 31}, "upsample_channels"),
    ({"upsample_channels": 32.0}, "upsample_channels"),
    ({"downsample_channels": 0}, "downsample_channels"),
    ({"downsample_channels": -1}, "downsample_channels"),
    ({"downsample_channels": 32.0}, "downsample_channels"),
    ({"bottleneck": 1}, "bottleneck"),
    ({"bottleneck": 3}, "bottleneck"),
    ({"bottleneck": 16}, "bottleneck"),
    ({"bottleneck": "4"}, "bottleneck"),
    ({"alpha_convention": "one_plus_alpha"}, "alpha_convention"),
    ({"alpha_convention": None}, "alpha_convention"),
    ({"residual_scale": 0.0}, "residual_scale"),
    ({"residual_scale": -0.5}, "residual_scale"),
    ({"residual_scale": 1.01}, "residual_scale"),
    ({"residual_scale": float("nan")}, "residual_scale"),
    ({"residual_scale": float("inf")}, "residual_scale"),
    ({"encoder_blocks": 3}, "encoder_blocks"),
    ({"manipulator_block": "no"}, "manipulator_block"),
    ({"decoder_channels": 0}, "decoder_channels"),
    ({"decoder_channels": 31}, "decoder_channels"),
    ({"decoder_channels": "32"}, "decoder_channels"),
    ({"bottleneck": 4.0}, "bottleneck"),
    ({"residual_scale": "1"}, "residual_scale"),
]


def assert_rejected(values, field):
    with pytest.raises(ValueError, match=re.escape(f".{field} = {values[field]!r}: must be ")):
        MagnifierConfig(**values)


@pytest.mark.parametrize(("values", "field"), INVALID, ids=str)
def test_invalid_value_is_named(values, field):
    assert_rejected(values, field)


def test_every_field_has_an_invalid_case():
    named = {field for _, field in INVALID}
    assert named == {field.name for field in dataclasses.fields(MagnifierConfig)}


@pytest.mark.parametrize(
    "values",
    [
        {"decoder_depth": 0},
        {"decoder_channels": 1, "upsample_channels": 2, "encoder_channels": 2},
        {"downsample_channels": 1, "upsample_channels": 2},
        {"encoder": "residual", "encoder_blocks": (0, 0, 0)},
        {"residual_scale": 1e-3},
        {"bottleneck": 8},
    ],
    ids=str,
)
def test_limits_are_accepted(values):
    config = MagnifierConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(MagnifierConfig)])
def test_frozen(name):
    config = MagnifierConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, name, getattr(config, name))


def test_hash_follows_equality():
    assert hash(MagnifierConfig(encoder_blocks=(1, 2, 3))) == hash(MagnifierConfig(encoder_blocks=(1, 2, 3)))
    different = {MagnifierConfig(decoder_depth=n) for n in range(5)} | {
        MagnifierConfig(decoder_depth=n) for n in range(5)
    }
    assert len(different) == 5


def test_blocks_from_a_list_become_a_hashable_tuple():
    config = MagnifierConfig(encoder_blocks=[1, 0, 2])  # pyright: ignore[reportArgumentType]  (YAML and JSON give lists)
    assert config.encoder_blocks == (1, 0, 2)
    assert config in {MagnifierConfig(encoder_blocks=(1, 0, 2))}


@pytest.mark.parametrize("seed", range(20))
def test_to_dict_round_trip_through_json(seed):
    rng = random.Random(seed)
    config = MagnifierConfig(
        encoder=rng.choice(("residual", "linear", "linear_single")),
        encoder_blocks=(rng.randrange(9), rng.randrange(9), rng.randrange(9)),
        encoder_channels=2 * rng.randint(1, 32),
        manipulator_block=rng.random() < 0.5,
        decoder_depth=rng.randrange(150),
        decoder_channels=2 * rng.randint(1, 60),
        upsample_channels=rng.choice((None, 8, 64)),
        downsample_channels=rng.choice((None, 7, 64)),
        bottleneck=rng.choice((2, 4, 8)),
        alpha_convention=rng.choice(("alpha", "alpha_minus_one")),
        residual_scale=rng.uniform(0.01, 1.0),
    )
    values = config.to_dict()
    assert set(values) == {field.name for field in dataclasses.fields(MagnifierConfig)}
    assert json.loads(json.dumps(values)) == values
    assert MagnifierConfig(**json.loads(json.dumps(values))) == config


def test_weights_only_unpickler_accepts_a_config(tmp_path):
    torch.save({"arch": MagnifierConfig.baseline()}, tmp_path / "config.pt")
    assert torch.load(tmp_path / "config.pt", weights_only=True) == {"arch": MagnifierConfig.baseline()}


def test_proposed_preset_is_the_default_and_the_papers():
    config = MagnifierConfig.proposed()
    assert config == MagnifierConfig()
    assert (config.encoder, config.bottleneck, config.decoder_depth, config.manipulator_block) == (
        "linear",
        4,
        36,
        False,
    )
    assert (config.encoder_channels, config.decoder_channels, config.c_upsample, config.c_downsample) == (
        16,
        32,
        32,
        32,
    )
    assert (config.alpha_convention, config.residual_scale) == ("alpha_minus_one", 1.0)


def test_baseline_preset_is_oh_2018():
    config = MagnifierConfig.baseline()
    assert (config.encoder, config.encoder_blocks, config.bottleneck) == ("residual", (3, 2, 2), 2)
    assert (config.manipulator_block, config.decoder_depth) == (True, 9)
    assert (config.encoder_channels, config.decoder_channels, config.c_upsample) == (32, 64, 64)
    assert (config.alpha_convention, config.residual_scale) == ("alpha_minus_one", 1.0)


def test_widths_follow_the_decoder_unless_set():
    assert (MagnifierConfig(decoder_channels=6).c_upsample, MagnifierConfig(decoder_channels=6).c_downsample) == (6, 6)
    config = MagnifierConfig(decoder_channels=6, upsample_channels=8, downsample_channels=5)
    assert (config.c_upsample, config.c_downsample) == (8, 5)


@pytest.mark.parametrize(
    ("encoder", "bottleneck", "downsamplings", "stride", "min_size"),
    [
        ("residual", 2, 0, 4, 8),
        ("residual", 4, 1, 4, 8),
        ("residual", 8, 2, 8, 16),
        ("linear", 2, 0, 4, 8),
        ("linear", 4, 1, 4, 8),
        ("linear", 8, 2, 8, 16),
        ("linear_single", 2, 0, 2, 8),
        ("linear_single", 4, 1, 4, 8),
        ("linear_single", 8, 2, 8, 16),
    ],
)
def test_geometry(encoder, bottleneck, downsamplings, stride, min_size):
    config = MagnifierConfig(encoder=encoder, bottleneck=bottleneck)
    assert (config.downsamplings, config.stride, config.min_size) == (downsamplings, stride, min_size)
    assert config.has_texture_stride == (encoder != "linear_single")
