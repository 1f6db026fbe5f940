"""Properties that every network keeps, whatever a search chooses."""

import math
import random
import re

import pytest
import torch
from random_architectures import KINDS, build, frames, random_architecture

from lightning_mm.cost import receptive_field
from lightning_mm.models import Magnifier, MagnifierConfig

WIDE = {"encoder_channels": 2, "decoder_channels": 4, "upsample_channels": 6, "output_kernel": 3}

EDGES = [
    *(MagnifierConfig("linear", decoder_depth=1, decoder_body=("conv7",), bottleneck=b, **WIDE) for b in (2, 4, 8)),
    *(MagnifierConfig("linear", decoder_depth=1, decoder_body=(k,), bottleneck=8, **WIDE) for k in KINDS[1:]),
    MagnifierConfig("residual", (1, 1, 1), encoder_body=("conv3", "conv7", "conv3"), decoder_depth=0, **WIDE),
    MagnifierConfig("residual", (1, 1, 1), encoder_body=("conv7", "dilated3", "separable7"), decoder_depth=0, **WIDE),
    MagnifierConfig("linear", encoder_kernel=31, decoder_depth=0, bottleneck=2, **WIDE),
    MagnifierConfig("linear_single", encoder_kernel=31, decoder_depth=0, bottleneck=2, **WIDE),
    MagnifierConfig("linear_single", decoder_depth=0, bottleneck=2, **WIDE | {"output_kernel": 9}),
    *(
        MagnifierConfig("linear_single", decoder_depth=0, bottleneck=b, upsampling="pixel_shuffle", **WIDE)
        for b in (2, 4, 8)
    ),
]


def short(config):
    changed = {name: value for name, value in config.to_dict().items() if value != MagnifierConfig().to_dict()[name]}
    return "-".join(re.sub(r"\W+", "_", str(value)) for value in changed.values())


@pytest.mark.parametrize("config", EDGES, ids=short)
def test_every_padding_is_defined_at_any_size(config):
    magnifier = build(config)
    for n in range(1, 41):
        for height, width in {(n, n), (1, n), (n, 1), (n, 40), (7, n)}:
            a, b = frames(1, 3, height, width), frames(1, 3, height, width, seed=2)
            output = magnifier(a, b, 10.0)
            assert output.shape == b.shape
            assert torch.isfinite(output).all()


@pytest.mark.parametrize("seed", range(60))
def test_any_network_gives_its_own_size_back_and_learns_everywhere(seed):
    rng = random.Random(seed)
    magnifier = build(random_architecture(rng)).requires_grad_(True)
    size = rng.randint(1, 40), rng.randint(1, 40)
    output = magnifier(frames(2, 3, *size), frames(2, 3, *size, seed=2), 5.0)
    assert output.shape == (2, 3, *size)
    output.square().mean().backward()
    for name, parameter in magnifier.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def in_double(magnifier, a, b):
    encoded_a, encoded_b = magnifier.encoder(a), magnifier.encoder(b)
    return magnifier.decoder(encoded_b.texture, magnifier.manipulator(encoded_a.shape, encoded_b.shape, 5.0))


@pytest.mark.parametrize("upsampling", ["nearest", "pixel_shuffle"])
@pytest.mark.parametrize("bottleneck", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_by_the_stride_shifts_the_output(kind, bottleneck, upsampling):
    config = MagnifierConfig(
        encoder="residual",
        encoder_blocks=(1, 0, 0),
        encoder_body=(kind,),
        decoder_depth=1,
        decoder_body=(kind,),
        bottleneck=bottleneck,
        upsampling=upsampling,
        **WIDE,
    )
    magnifier, stride = build(config).double(), config.stride
    margin = -(-receptive_field(config) // stride) * stride
    side = 2 * margin + 2 * stride
    a, b = frames(2, 1, 3, side + stride, side + stride).double()
    inside = slice(margin, margin + stride)
    still = in_double(magnifier, a[..., :side, :side], b[..., :side, :side])[..., inside, inside]
    for down, right in ((stride, 0), (0, stride), (stride, stride)):
        window = (..., slice(down, down + side), slice(right, right + side))
        before = (..., slice(margin - down, margin - down + stride), slice(margin - right, margin - right + stride))
        moved = in_double(magnifier, a[window], b[window])[before]
        torch.testing.assert_close(moved, still, rtol=0, atol=1e-12 * still.abs().max().item())
    window, before = (..., slice(1, side + 1), slice(side)), (..., slice(margin - 1, margin - 1 + stride), inside)
    assert not torch.allclose(in_double(magnifier, a[window], b[window])[before], still, rtol=0, atol=1e-6)


# Gain = variance x fan_in: 2 before a ReLU, 1 elsewhere; 0 where nothing is to happen at first.
GAINS = {
    "encoder.common.0": 2,
    "encoder.common.4.0.depthwise": 1,
    "encoder.common.4.0.conv1": 2,
    "encoder.common.4.0.conv2": 0,
    "encoder.common.4.1.conv1": 2,
    "encoder.common.4.1.conv2": 0,
    "decoder.body.0.depthwise": 1,
    "decoder.body.0.conv1": 2,
    "decoder.body.0.conv2": 0,
    "decoder.body.1.conv1": 2,
    "decoder.body.1.conv2": 0,
    "decoder.up.0.0": 2,
    "decoder.up.1.0": 2,
    "decoder.out.0": 1 / 100,
}


def test_initialisation_is_as_documented():
    torch.manual_seed(0)
    config = MagnifierConfig(
        encoder="residual",
        encoder_blocks=(2, 0, 0),
        encoder_body=("separable7", "conv5"),
        encoder_channels=96,
        decoder_depth=2,
        decoder_body=("separable7", "dilated3"),
        decoder_channels=80,
        upsample_channels=80,
        upsampling="pixel_shuffle",
    )
    magnifier = Magnifier(config)
    for name, gain in GAINS.items():
        weight = magnifier.get_parameter(f"{name}.weight")
        five_sigma = 5 / math.sqrt(2 * weight.numel())
        assert five_sigma < 0.06
        assert weight.std().item() == pytest.approx(math.sqrt(gain / weight[0].numel()), rel=five_sigma), name
    in_front_of_relu = r"decoder\.(texture_up\.1|down\.\d|up\.\d\.0)\.bias"
    for name, parameter in magnifier.named_parameters():
        if name.endswith("bias"):
            assert parameter.unique().tolist() == [0.5 if re.fullmatch(in_front_of_relu, name) else 0.0], name
    x = frames(1, 80, 8, 8)
    assert torch.equal(magnifier.decoder.body(x), x)
