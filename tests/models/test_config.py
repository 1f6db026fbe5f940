import dataclasses
import json
import random
import re

import pytest
import torch
from jsonargparse import ArgumentParser
from random_architectures import random_architecture

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
    ({"encoder": "residual", "encoder_body": ("conv5",) * 6}, "encoder_body"),
    ({"encoder": "residual", "encoder_body": ("conv3",) * 8}, "encoder_body"),
    ({"encoder": "residual", "encoder_body": ("conv5",) * 6 + ("conv9",)}, "encoder_body"),
    ({"encoder": "residual", "encoder_body": ("conv5",) * 6 + (["conv5"],)}, "encoder_body"),
    ({"encoder": "linear", "encoder_body": ("conv9",)}, "encoder_body"),
    ({"encoder": "residual", "encoder_body": "conv3"}, "encoder_body"),
    ({"encoder_kernel": 8}, "encoder_kernel"),
    ({"encoder_kernel": 1}, "encoder_kernel"),
    ({"encoder_kernel": 33}, "encoder_kernel"),
    ({"encoder_kernel": 9.0}, "encoder_kernel"),
    ({"encoder_kernel": True}, "encoder_kernel"),
    ({"stem_channels": 0}, "stem_channels"),
    ({"stem_channels": 8.0}, "stem_channels"),
    ({"stem_channels": True}, "stem_channels"),
    ({"decoder_depth": 2, "decoder_body": ("conv5",)}, "decoder_body"),
    ({"decoder_depth": 2, "decoder_body": ("conv3",) * 3}, "decoder_body"),
    ({"decoder_depth": 2, "decoder_body": ()}, "decoder_body"),
    ({"decoder_depth": 1, "decoder_body": (5,)}, "decoder_body"),
    ({"decoder_depth": 5, "decoder_body": "conv5"}, "decoder_body"),
    ({"exit_projection": 1}, "exit_projection"),
    ({"exit_projection": None}, "exit_projection"),
    ({"upsampling": "bilinear"}, "upsampling"),
    ({"upsampling": None}, "upsampling"),
    ({"output_kernel": 0}, "output_kernel"),
    ({"output_kernel": 6}, "output_kernel"),
    ({"output_kernel": 11}, "output_kernel"),
    ({"output_kernel": -1}, "output_kernel"),
    ({"output_kernel": None}, "output_kernel"),
    ({"output_kernel": 7.0}, "output_kernel"),
    ({"linear_blocks": ("body",)}, "linear_blocks"),
    ({"linear_blocks": ("decoder.36",)}, "linear_blocks"),
    ({"linear_blocks": ("decoder.-1",)}, "linear_blocks"),
    ({"linear_blocks": ("decoder.01",)}, "linear_blocks"),
    ({"linear_blocks": ("encoder.0",)}, "linear_blocks"),  # of a linear encoder, which has no blocks
    ({"linear_blocks": "decoder"}, "linear_blocks"),
    ({"linear_blocks": (3,)}, "linear_blocks"),
    ({"plain_blocks": ("manipulator.0",)}, "plain_blocks"),
    ({"plain_blocks": ("manipulator.1",), "manipulator_block": True}, "plain_blocks"),
    ({"plain_blocks": ("encoder.7",), "encoder": "residual"}, "plain_blocks"),
    ({"plain_blocks": None}, "plain_blocks"),
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
        {"encoder_kernel": 3, "output_kernel": 1, "stem_channels": 1},
        {"encoder_kernel": 31, "output_kernel": 9},
        {"encoder": "linear", "encoder_body": ("conv5",)},  # not used, so of any length
        {"decoder_depth": 5, "decoder_body": ("conv3", "conv5", "conv7", "dilated3", "separable7")},
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


def test_kinds_from_a_list_become_a_hashable_tuple():
    kinds = ["conv3", "separable7"]
    config = MagnifierConfig(decoder_depth=2, decoder_body=kinds)  # pyright: ignore[reportArgumentType]
    assert config in {MagnifierConfig(decoder_depth=2, decoder_body=("conv3", "separable7"))}
    assert config.to_dict()["decoder_body"] == kinds


@pytest.mark.parametrize("body", ["[conv3,separable7]", "null"])
def test_kinds_from_a_command_line(body):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(MagnifierConfig, "arch")
    given = parser.parse_args([f"--arch.decoder_body={body}", "--arch.decoder_depth=2", "--arch.upsampling=nearest"])
    expected = None if body == "null" else ("conv3", "separable7")
    assert parser.instantiate(given).arch == MagnifierConfig(decoder_depth=2, decoder_body=expected)


def test_a_body_of_the_papers_blocks_alone_is_no_body():
    config = MagnifierConfig(
        "residual", (1, 0, 1), encoder_body=("conv3", "conv3"), decoder_depth=3, decoder_body=("conv3",) * 3
    )
    assert (config.encoder_body, config.decoder_body) == (None, None)
    assert config == MagnifierConfig("residual", (1, 0, 1), decoder_depth=3)
    empty = MagnifierConfig("residual", (0, 0, 0), encoder_body=(), decoder_depth=0, decoder_body=())
    assert empty == MagnifierConfig("residual", (0, 0, 0), decoder_depth=0)


def test_kinds_are_resolved_in_the_order_common_texture_shape():
    body = ("conv5", "conv7", "dilated3", "separable7", "conv3", "conv5")
    config = MagnifierConfig("residual", (1, 3, 2), encoder_body=body, decoder_depth=2)
    assert config.encoder_parts == (body[:1], body[1:4], body[4:])
    assert config.encoder_kinds == body
    assert config.decoder_kinds == ("conv3", "conv3")
    plain = MagnifierConfig("residual", (1, 0, 2), decoder_depth=0)
    assert plain.encoder_parts == (("conv3",), (), ("conv3", "conv3"))
    assert plain.decoder_kinds == ()
    for encoder in ("linear", "linear_single"):
        assert MagnifierConfig(encoder, (1, 3, 2), encoder_body=body).encoder_parts == ((), (), ())
        assert MagnifierConfig(encoder).encoder_kinds == ()


def test_widths_and_kernels_of_the_encoder_unless_set():
    kernels = {encoder: MagnifierConfig(encoder).k_encoder for encoder in ("residual", "linear", "linear_single")}
    assert kernels == {"residual": 7, "linear": 9, "linear_single": 13}
    changed = {encoder: MagnifierConfig(encoder, encoder_kernel=5).k_encoder for encoder in kernels}
    assert changed == {"residual": 7, "linear": 5, "linear_single": 5}
    assert MagnifierConfig(encoder_channels=6).c_stem == 3
    assert MagnifierConfig(encoder_channels=6, stem_channels=5).c_stem == 5


@pytest.mark.parametrize("seed", range(40))
def test_to_dict_round_trip_through_json(seed):
    config = random_architecture(random.Random(seed))
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


@pytest.mark.parametrize(
    ("values", "min_size"),
    [
        ({"encoder_kernel": 13}, 8),
        ({"encoder_kernel": 17}, 12),  # nine pixels for a padding of eight, then a multiple of four
        ({"encoder_kernel": 31}, 16),
        ({"encoder": "residual", "encoder_kernel": 31}, 8),  # not used
        ({"decoder_body": ("conv5",)}, 12),  # three pixels at a quarter
        ({"decoder_body": ("dilated3",)}, 12),
        ({"decoder_body": ("separable7",)}, 16),
        ({"decoder_body": ("conv7",), "bottleneck": 2}, 8),
        ({"decoder_body": ("conv7",), "bottleneck": 8}, 32),
        ({"encoder": "residual", "encoder_body": ("conv7", "conv3", "conv3"), "bottleneck": 2}, 8),
        ({"encoder": "residual", "encoder_body": ("conv3", "conv7", "conv3"), "bottleneck": 2}, 16),
        ({"encoder": "residual", "encoder_body": ("conv3", "conv3", "dilated3"), "bottleneck": 2}, 8),
        ({"encoder": "linear", "encoder_body": ("conv3", "conv7", "conv3")}, 8),  # not used
        ({"output_kernel": 9}, 8),
    ],
    ids=str,
)
def test_paddings_must_fit_into_the_smallest_frame(values, min_size):
    assert MagnifierConfig(**{"encoder_blocks": (1, 1, 1), "decoder_depth": 1} | values).min_size == min_size
