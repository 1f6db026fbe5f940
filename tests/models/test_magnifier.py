"""The network against a second, independent writing of the layer tables, and properties that every variant keeps."""

import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F
from random_architectures import build, frames

from lightning_mm.models import Magnifier, MagnifierConfig, Representation
from lightning_mm.models.blocks import ResidualBlock

ENCODERS = ("residual", "linear", "linear_single")
BOTTLENECKS = (2, 4, 8)
VARIANTS = list(itertools.product(ENCODERS, BOTTLENECKS))
EIGHTH = MagnifierConfig(
    encoder="residual",
    encoder_blocks=(1, 0, 2),
    encoder_channels=6,
    manipulator_block=True,
    decoder_depth=2,
    decoder_channels=8,
    upsample_channels=10,
    downsample_channels=12,
    bottleneck=8,
)
SINGLE = MagnifierConfig(
    encoder="linear_single", encoder_channels=6, decoder_depth=1, decoder_channels=12, bottleneck=2
)


def small(encoder, bottleneck, **values):
    return MagnifierConfig(
        encoder=encoder,
        bottleneck=bottleneck,
        **{"encoder_blocks": (1, 1, 1), "encoder_channels": 4, "decoder_depth": 1, "decoder_channels": 6} | values,
    )


def assert_near(actual, expected, tolerance=1e-5):
    """Close, measured against the largest value: convolutions may sum in another order."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * expected.abs().max().item())


class Layers:
    """The convolutions of a state dict by number, in order, with the arithmetic of the layer table."""

    def __init__(self, magnifier, dtype):
        tensors = [tensor.to(dtype) for tensor in magnifier.state_dict().values()]
        self.pairs = list(zip(tensors[::2], tensors[1::2], strict=True))

    def conv(self, number, x, stride=1):
        weight, bias = self.pairs[number]
        pad = weight.shape[-1] // 2
        return F.conv2d(F.pad(x, (pad, pad, pad, pad), mode="reflect"), weight, bias, stride=stride)

    def relu(self, number, x, stride=1):
        return self.conv(number, x, stride).clamp(min=0)

    def residual(self, first, count, x):
        for number in range(first, first + 2 * count, 2):
            x = x + self.conv(number + 1, self.relu(number, x))
        return x

    def up(self, number, x):
        return self.relu(number, x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2))


def pad_to(x, multiple):
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="reflect")


def baseline(net, a, b, factor):
    assert len(net.pairs) == 44
    size, shapes = b.shape[-2:], []
    for frame in (pad_to(a, 4), pad_to(b, 4)):
        features = net.residual(2, 3, net.relu(1, net.relu(0, frame), stride=2))
        texture = net.residual(9, 2, net.relu(8, features, stride=2))
        shapes.append(net.residual(14, 2, net.relu(13, features)))
    change = net.conv(19, factor * net.relu(18, shapes[1] - shapes[0]))
    shape = shapes[1] + net.residual(20, 1, change)
    x = net.residual(23, 9, torch.cat([net.up(22, texture), shape], 1))
    x = net.conv(43, net.relu(42, net.up(41, x)))
    return x[..., : size[0], : size[1]]


def proposed(net, a, b, factor):
    assert len(net.pairs) == 83
    size, shapes = b.shape[-2:], []
    for frame in (pad_to(a, 4), pad_to(b, 4)):
        features = net.conv(0, frame, stride=2)
        texture = net.conv(1, features, stride=2)
        shapes.append(net.conv(2, features))
    shape = shapes[1] + net.conv(4, factor * net.relu(3, shapes[1] - shapes[0]))
    x = net.relu(6, torch.cat([net.up(5, texture), shape], 1), stride=2)
    x = net.residual(7, 36, x)
    x = net.conv(82, net.relu(81, net.up(80, net.up(79, x))))
    return x[..., : size[0], : size[1]]


def eighth(net, a, b, factor):
    assert len(net.pairs) == 28
    size, shapes = b.shape[-2:], []
    for frame in (pad_to(a, 8), pad_to(b, 8)):
        features = net.residual(2, 1, net.relu(1, net.relu(0, frame), stride=2))
        texture = net.relu(4, features, stride=2)
        shapes.append(net.residual(6, 2, net.relu(5, features)))
    shape = shapes[1] + net.residual(12, 1, net.conv(11, factor * net.relu(10, shapes[1] - shapes[0])))
    x = torch.cat([net.up(14, texture), shape], 1)
    x = net.relu(16, net.relu(15, x, stride=2), stride=2)
    x = net.conv(22, net.residual(18, 2, net.conv(17, x)))
    x = net.up(25, net.up(24, net.up(23, x)))
    x = net.conv(27, net.relu(26, x))
    return x[..., : size[0], : size[1]]


def single(net, a, b, factor):
    assert len(net.pairs) == 9
    size = b.shape[-2:]
    shape_a, shape_b = (net.conv(0, pad_to(frame, 2), stride=2) for frame in (a, b))
    shape = shape_b + net.conv(2, factor * net.relu(1, shape_b - shape_a))
    x = net.residual(4, 1, torch.cat([net.relu(3, shape_b), shape], 1))
    x = net.conv(8, net.relu(7, net.up(6, x)))
    return x[..., : size[0], : size[1]]


WRITINGS = [
    pytest.param(MagnifierConfig.baseline(), baseline, id="baseline"),
    pytest.param(MagnifierConfig.proposed(), proposed, id="proposed"),
    pytest.param(EIGHTH, eighth, id="eighth"),
    pytest.param(SINGLE, single, id="single"),
]


@pytest.mark.parametrize("size", [(32, 48), (27, 38)])
@pytest.mark.parametrize(("config", "writing"), WRITINGS)
def test_forward_equals_the_layer_table(config, writing, size):
    magnifier = build(config)
    a, b = frames(2, 3, *size), frames(2, 3, *size, seed=2)
    expected = writing(Layers(magnifier, torch.float32), a, b, 9.0)
    assert_near(magnifier(a, b, alpha=10.0), expected, 2e-6)
    exact = writing(Layers(magnifier, torch.float64), a.double(), b.double(), 9.0)
    assert_near(magnifier(a, b, alpha=10.0).double(), exact, 2e-5)


@pytest.mark.parametrize(("config", "writing"), WRITINGS)
def test_float64_parts_equal_the_layer_table(config, writing):
    # encode() fixes float32, so double precision goes through the three parts themselves.
    magnifier = build(config).double()
    a, b = frames(1, 3, 32, 40).double(), frames(1, 3, 32, 40, seed=2).double()
    shape_a, (texture, shape_b) = magnifier.encoder(a).shape, magnifier.encoder(b)
    output = magnifier.decoder(texture, magnifier.manipulator(shape_a, shape_b, 4.0))
    expected = writing(Layers(magnifier, torch.float64), a, b, 3.0)
    assert_near(output, expected, 1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.5])
def test_alpha_conventions_differ_by_one(alpha):
    config = small("residual", 2, manipulator_block=True)
    total = build(config)
    port = build(MagnifierConfig(**config.to_dict() | {"alpha_convention": "alpha"}))
    assert all(torch.equal(x, y) for x, y in zip(total.parameters(), port.parameters(), strict=True))
    a, b = frames(1, 3, 16, 16), frames(1, 3, 16, 16, seed=2)
    assert torch.equal(port(a, b, alpha), total(a, b, alpha + 1.0))
    assert not torch.equal(port(a, b, alpha), total(a, b, alpha))


def test_port_convention_multiplies_by_alpha():
    magnifier = build(MagnifierConfig(**SINGLE.to_dict() | {"alpha_convention": "alpha"}))
    a, b = frames(1, 3, 16, 16), frames(1, 3, 16, 16, seed=2)
    assert_near(magnifier(a, b, 5.0), single(Layers(magnifier, torch.float32), a, b, 5.0))


def test_alpha_per_sample_equals_numbers():
    magnifier = build(small("linear", 4, manipulator_block=True))
    a, b = frames(3, 3, 16, 20), frames(3, 3, 16, 20, seed=2)
    alphas = [1.0, 7.5, 50.0]
    together = magnifier(a, b, torch.tensor(alphas))
    for n, alpha in enumerate(alphas):
        assert_near(together[n : n + 1], magnifier(a[n : n + 1], b[n : n + 1], alpha))


@pytest.mark.parametrize(("encoder", "bottleneck"), VARIANTS)
def test_alpha_one_adds_exactly_nothing(encoder, bottleneck):
    magnifier = build(small(encoder, bottleneck))
    seen = []
    magnifier.manipulator.transform.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    a1, a2, b = (frames(1, 3, 16, 24, seed=seed) for seed in (1, 2, 3))
    assert torch.equal(magnifier(a1, b, 1.0), magnifier(a2, b, 1.0))
    assert all(torch.count_nonzero(x) == 0 for x in seen)
    assert not torch.equal(magnifier(a1, b, 2.0), magnifier(a2, b, 2.0))


SIZES = [
    *itertools.product(range(1, 13), range(1, 13)),
    *[(1, n) for n in (13, 29, 40)],
    *[(n, 1) for n in (13, 29, 40)],
    *[(13, 37), (17, 23), (31, 29), (37, 40), (40, 19), (16, 15), (15, 16), (33, 8), (39, 40), (40, 40)],
]


@pytest.mark.parametrize(("encoder", "bottleneck"), VARIANTS)
def test_any_size_gives_its_own_size_back(encoder, bottleneck):
    config = small(encoder, bottleneck, encoder_channels=2, decoder_channels=2)
    magnifier = build(config)
    for height, width in SIZES:
        a, b = frames(1, 3, height, width), frames(1, 3, height, width, seed=2)
        output = magnifier(a, b, 10.0)
        assert output.shape == b.shape, (height, width)
        assert torch.isfinite(output).all(), (height, width)
        texture, shape = magnifier.encode(b)
        padded = tuple(max(config.min_size, math.ceil(n / config.stride) * config.stride) for n in (height, width))
        assert tuple(2 * n for n in shape.shape[-2:]) == padded, (height, width)
        texture_stride = 2 if encoder == "linear_single" else 4
        assert tuple(texture_stride * n for n in texture.shape[-2:]) == padded, (height, width)


@pytest.mark.parametrize(("encoder", "bottleneck"), VARIANTS)
def test_padding_reflects_at_right_and_bottom(encoder, bottleneck):
    config = small(encoder, bottleneck)
    magnifier = build(config)
    a, b = frames(2, 3, 21, 35), frames(2, 3, 21, 35, seed=2)
    padded = magnifier(pad_to(a, config.stride), pad_to(b, config.stride), 3.0)
    assert padded.shape[-2] % config.stride == padded.shape[-1] % config.stride == 0
    assert torch.equal(magnifier(a, b, 3.0), padded[..., :21, :35])


def test_tiny_frames_repeat_their_border():
    magnifier = build(small("linear", 2))
    a, b = frames(1, 3, 2, 3), frames(1, 3, 2, 3, seed=2)
    a8, b8 = (F.pad(x, (0, 5, 0, 6), mode="replicate") for x in (a, b))
    assert torch.equal(magnifier(a, b, 3.0), magnifier(a8, b8, 3.0)[..., :2, :3])


@pytest.mark.parametrize(("encoder", "bottleneck"), VARIANTS)
def test_batch_equals_single(encoder, bottleneck):
    magnifier = build(small(encoder, bottleneck))
    a, b = frames(3, 3, 18, 22), frames(3, 3, 18, 22, seed=2)
    one_by_one = torch.cat([magnifier(a[n : n + 1], b[n : n + 1], 5.0) for n in range(3)])
    assert_near(magnifier(a, b, 5.0), one_by_one)


@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize(("encoder", "bottleneck"), VARIANTS)
def test_gradients_reach_every_parameter(encoder, bottleneck, block):
    config = small(encoder, bottleneck, encoder_channels=8, manipulator_block=block, upsample_channels=8)
    magnifier = build(config).requires_grad_(True)
    magnifier(frames(2, 3, 16, 24), frames(2, 3, 16, 24, seed=2), 5.0).square().mean().backward()
    for name, parameter in magnifier.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("encoder", ENCODERS)
def test_representations_stay_float32_under_autocast(encoder):
    magnifier = build(small(encoder, 4, manipulator_block=True))
    a, b = frames(1, 3, 16, 16), frames(1, 3, 16, 16, seed=2)
    plain_a, plain_b = magnifier.encode(a), magnifier.encode(b)
    plain = magnifier.manipulate(plain_a.shape, plain_b.shape, 100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside_a, inside_b = magnifier.encode(a), magnifier.encode(b)
        inside = magnifier.manipulate(inside_a.shape, inside_b.shape, 100.0)
        decoded = magnifier.decode(inside_b.texture, inside)
        from_half = magnifier.encode(b.bfloat16())
    assert decoded.dtype == torch.bfloat16  # autocast was on
    for x in (*inside_a, *inside_b, inside, *from_half):
        assert x.dtype == torch.float32
    assert torch.equal(inside_b.texture, plain_b.texture)
    assert torch.equal(inside_b.shape, plain_b.shape)
    assert torch.equal(inside, plain)


@pytest.mark.parametrize(("encoder", "bottleneck"), VARIANTS)
def test_three_steps_are_forward(encoder, bottleneck):
    config = small(encoder, bottleneck)
    magnifier = build(config)
    a, b = frames(1, 3, 19, 26), frames(1, 3, 19, 26, seed=2)
    encoded_a, encoded_b = magnifier.encode(a), magnifier.encode(b)
    assert isinstance(encoded_b, Representation)
    magnified = magnifier.manipulate(encoded_a.shape, encoded_b.shape, 6.0)
    output = magnifier(a, b, 6.0)
    assert torch.equal(magnifier.decode(encoded_b.texture, magnified, size=(19, 26)), output)
    uncropped = magnifier.decode(encoded_b.texture, magnified)
    assert uncropped.shape[-2:] == tuple(math.ceil(n / config.stride) * config.stride for n in (19, 26))
    assert torch.equal(uncropped[..., :19, :26], output)
    # The texture is the second frame's: with frame a's the output is another.
    assert not torch.equal(magnifier.decode(encoded_a.texture, magnified, size=(19, 26)), output)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_linearity_of_the_encoder(encoder):
    magnifier = build(small(encoder, 4, encoder_channels=8))
    x, y = frames(1, 3, 16, 16) / 2, frames(1, 3, 16, 16, seed=2) / 2
    zero = magnifier.encode(torch.zeros_like(x))
    for of_sum, of_x, of_y, of_zero in zip(*(magnifier.encode(f) for f in (x + y, x, y)), zero, strict=True):
        error = ((of_sum - of_zero) - (of_x - of_zero) - (of_y - of_zero)).abs().max()
        assert bool(error < 1e-5) == (encoder != "residual"), float(error)
        assert encoder != "residual" or error > 0.05


# Gain = variance x fan_in: 2 before a ReLU, 1 elsewhere; 0 where nothing is to happen at first.
GAINS = [
    pytest.param(
        MagnifierConfig.baseline(),
        {
            "encoder.common.2": 2,
            "encoder.common.4.0.conv1": 2,
            "encoder.common.4.0.conv2": 0,
            "encoder.texture.0": 2,
            "encoder.shape.0": 2,
            "manipulator.transform.1.conv2": 0,
            "decoder.texture_up.1": 2,
            "decoder.body.0.conv1": 2,
            "decoder.body.8.conv2": 0,
            "decoder.up.0.1": 2,
            "decoder.out.0": 2,
            "decoder.out.2": 1 / 100,
        },
        id="baseline",
    ),
    pytest.param(
        MagnifierConfig(encoder_channels=64, decoder_channels=64, upsample_channels=80, downsample_channels=96),
        {
            "encoder.common": 1,
            "encoder.texture": 1,
            "encoder.shape": 1,
            "decoder.down.0": 2,
            "decoder.project_in": 1,
            "decoder.body.35.conv1": 2,
            "decoder.body.35.conv2": 0,
            "decoder.project_out": 1,
            "decoder.up.1.1": 2,
        },
        id="linear",
    ),
    pytest.param(
        MagnifierConfig(encoder="linear_single", encoder_channels=32, decoder_depth=0, manipulator_block=True),
        {"encoder.common": 1, "decoder.texture_up.0": 2, "manipulator.transform.1.conv2": 0},
        id="single, no body",
    ),
]


@pytest.mark.parametrize(("config", "gains"), GAINS)
def test_initialisation_is_as_documented(config, gains):
    torch.manual_seed(0)
    magnifier = Magnifier(config)
    for name, gain in gains.items():
        weight = magnifier.get_submodule(name).weight
        expected = math.sqrt(gain / weight[0].numel())
        if gain == 0:
            assert not weight.any(), name
            continue
        five_sigma = 5 / math.sqrt(2 * weight.numel())
        assert five_sigma < 0.06
        assert weight.std().item() == pytest.approx(expected, rel=five_sigma), name
        assert abs(weight.mean().item()) < 5 * expected / math.sqrt(weight.numel()), name
    in_front_of_relu = r"decoder\.(texture_up\.[01]|down\.\d|up\.\d\.1|out\.0)\.bias"
    for name, parameter in magnifier.named_parameters():
        if name.endswith("bias"):
            assert parameter.unique().tolist() == [0.5 if re.fullmatch(in_front_of_relu, name) else 0.0], name


@pytest.mark.parametrize("config", [MagnifierConfig.proposed(), MagnifierConfig.baseline()], ids=["linear", "residual"])
def test_a_new_body_does_nothing(config):
    body, x = Magnifier(config).decoder.body, torch.randn(1, config.decoder_channels, 8, 8)
    assert torch.equal(body(x), x)


@pytest.mark.parametrize("block", [False, True])
def test_a_new_manipulator_is_linear_eulerian_magnification_of_half_of_the_channels(block):
    config = MagnifierConfig(encoder_channels=8, manipulator_block=block)
    torch.manual_seed(0)
    manipulator = Magnifier(config).manipulator
    with torch.no_grad():
        taps = manipulator.transform[0].weight[:, :, 1, 1] @ manipulator.difference[0].weight[:, :, 3, 3] / 2
        a, b = torch.randn(2, 1, 8, 12, 12)
        amplified = [manipulator(a, b, alpha) - b for alpha in (1.0, 2.0, 11.0)]
    # A projection onto four of eight dimensions, but for the random fifth.
    values = torch.linalg.eigvals(taps).real.sort().values
    assert_near(values, torch.tensor([0.0] * 4 + [1.0] * 4), 0.25)
    assert not amplified[0].any()
    assert_near(amplified[2], 10.0 * amplified[1])
    projected = torch.einsum("ij,bjhw->bihw", taps, b - a)
    correlation = torch.corrcoef(torch.stack([projected.flatten(), amplified[1].flatten()]))[0, 1]
    assert correlation > 0.8


def test_residual_scale_of_a_block():
    torch.manual_seed(0)
    block = ResidualBlock(4, scale=0.5)
    x = torch.randn(2, 4, 9, 7)
    weights = [(m.weight, m.bias) for m in (block.conv1, block.conv2)]
    y = x
    for weight, bias in weights:
        y = F.conv2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), weight, bias)
        y = y.clamp(min=0) if weight is weights[0][0] else y
    assert_near(block(x), x + 0.5 * y)


def test_residual_scale_reaches_every_block():
    values = small("residual", 4, manipulator_block=True, decoder_depth=2).to_dict()
    scaled, halved = build(MagnifierConfig(**values | {"residual_scale": 0.5})), build(MagnifierConfig(**values))
    blocks = [module for module in halved.modules() if isinstance(module, ResidualBlock)]
    assert len(blocks) == 3 + 1 + 2
    a, b = frames(1, 3, 16, 16), frames(1, 3, 16, 16, seed=2)
    assert not torch.allclose(scaled(a, b, 5.0), halved(a, b, 5.0), atol=1e-3)
    for block in blocks:
        block.conv2.weight.mul_(0.5)
        block.conv2.bias.mul_(0.5)
    assert_near(scaled(a, b, 5.0), halved(a, b, 5.0))


def test_no_config_means_the_proposed_model():
    assert Magnifier().config == MagnifierConfig.proposed()
