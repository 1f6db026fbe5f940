"""What search can choose beyond the paper, against an independent writing."""

import itertools

import numpy as np
import pytest
import torch
from random_architectures import KINDS, build, frames

from lightning_mm.models import MagnifierConfig
from lightning_mm.models.blocks import ResidualBlock, conv


class Writing:
    """A network tap by tap in numpy: no convolution, padding, shuffle or upsampling of torch."""

    def __init__(self, module):
        self.state = {name: value.double().numpy() for name, value in module.state_dict().items()}

    def conv(self, name, x, stride=1, dilation=1):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        (height, width), kernel = x.shape[2:], weight.shape[-1]
        pad = dilation * (kernel // 2)
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
        found = np.zeros((len(x), len(weight), -(-height // stride), -(-width // stride)))
        depthwise = weight.shape[1] == 1 != x.shape[1]
        for i, j in itertools.product(range(kernel), repeat=2):
            rows = slice(i * dilation, i * dilation + height, stride)
            seen = padded[:, :, rows, j * dilation : j * dilation + width : stride]
            tap = weight[:, :, i, j]
            found += seen * tap[:, 0, None, None] if depthwise else np.einsum("oc,bchw->bohw", tap, seen)
        return found + bias[:, None, None]

    def relu(self, name, x, **how):
        return np.maximum(self.conv(name, x, **how), 0)

    def block(self, name, x, kind, scale=1.0):
        branch = self.conv(f"{name}depthwise", x) if kind == "separable7" else x
        branch = self.relu(f"{name}conv1", branch, dilation=2 if kind == "dilated3" else 1)
        return x + scale * self.conv(f"{name}conv2", branch)

    def stack(self, name, x, kinds, scale):
        for number, kind in enumerate(kinds):
            x = self.block(f"{name}.{number}.", x, kind, scale)
        return x

    def up(self, name, x):
        return self.relu(name, x.repeat(2, axis=2).repeat(2, axis=3))

    def shuffled(self, name, x):
        x = self.relu(name, x)
        found = np.zeros((len(x), x.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3]))
        for i, j in itertools.product(range(2), repeat=2):
            found[:, :, i::2, j::2] = x[:, 2 * i + j :: 4]
        return found


@pytest.mark.parametrize("size", [(4, 4), (9, 7)])
@pytest.mark.parametrize("kind", KINDS)
def test_block_of_each_kind_equals_its_definition(kind, size):
    torch.manual_seed(0)
    block, x = ResidualBlock(3, 0.5, kind).double(), frames(2, 3, *size).double()
    expected = Writing(block).block("", x.numpy(), kind, 0.5)
    with torch.no_grad():
        np.testing.assert_allclose(block(x).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "dilation", "groups", "stride"), [(3, 3, 2, 2), (5, 2, 4, 1), (1, 1, 4, 1)])
def test_convolution_pads_for_its_dilation_in_each_group(kernel, dilation, groups, stride):
    torch.manual_seed(0)
    layer, x = conv(4, 8, kernel, stride, dilation, groups).double(), frames(1, 4, 10, 12).double()
    weight = torch.zeros(8, 4, kernel, kernel, dtype=torch.float64)
    inside, outside = 4 // groups, 8 // groups
    for group in range(groups):
        own = slice(group * outside, (group + 1) * outside)
        weight[own, group * inside : (group + 1) * inside] = layer.weight.detach()[own]
    writing = Writing(layer)
    dense = {"layer.weight": weight.numpy(), "layer.bias": writing.state["bias"]}
    writing.state = dense
    expected = writing.conv("layer", x.numpy(), stride, dilation)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-12)


def residual_shuffled(net, a, b, factor):
    shapes = []
    for frame in (a, b):
        x = net.relu("encoder.common.2", net.relu("encoder.common.0", frame), stride=2)
        x = net.stack("encoder.common.4", x, ("separable7",), 0.5)
        texture = net.stack("encoder.texture.2", net.relu("encoder.texture.0", x, stride=2), ("conv5", "dilated3"), 0.5)
        shapes.append(net.stack("encoder.shape.2", net.relu("encoder.shape.0", x), ("conv7",), 0.5))
    moved = net.conv("manipulator.transform.0", factor * net.relu("manipulator.difference.0", shapes[1] - shapes[0]))
    x = np.concatenate([net.up("decoder.texture_up.1", texture), shapes[1] + moved], 1)
    x = net.relu("decoder.down.0", x, stride=2)
    x = net.stack("decoder.body", net.conv("decoder.project_in", x), ("dilated3", "separable7"), 0.5)
    x = net.shuffled("decoder.up.1.0", net.shuffled("decoder.up.0.0", x))
    return net.conv("decoder.out.0", x)


def linear_shuffled(net, a, b, factor):
    shapes = [net.conv("encoder.shape", net.conv("encoder.common", frame, stride=2)) for frame in (a, b)]
    texture = net.conv("encoder.texture", net.conv("encoder.common", b, stride=2), stride=2)
    moved = net.conv("manipulator.transform.0", factor * net.relu("manipulator.difference.0", shapes[1] - shapes[0]))
    x = np.concatenate([net.up("decoder.texture_up.1", texture), shapes[1] + moved], 1)
    x = net.stack("decoder.body", net.conv("decoder.project_in", x), ("conv5",), 1.0)
    return net.conv("decoder.out.0", net.shuffled("decoder.up.0.0", net.conv("decoder.project_out", x)))


def single_nearest(net, a, b, factor):
    first, second = (net.conv("encoder.common", frame, stride=2) for frame in (a, b))
    moved = net.conv("manipulator.transform.0", factor * net.relu("manipulator.difference.0", second - first))
    x = np.concatenate([net.relu("decoder.texture_up.0", second), second + moved], 1)
    x = net.relu("decoder.down.0", x, stride=2)
    x = net.up("decoder.up.1.1", net.up("decoder.up.0.1", net.conv("decoder.project_in", x)))
    return net.conv("decoder.out.2", net.relu("decoder.out.0", x))


WRITINGS = {
    residual_shuffled: MagnifierConfig(
        encoder="residual",
        encoder_blocks=(1, 2, 1),
        encoder_channels=4,
        stem_channels=3,
        encoder_body=("separable7", "conv5", "dilated3", "conv7"),
        decoder_depth=2,
        decoder_channels=5,
        decoder_body=("dilated3", "separable7"),
        upsample_channels=6,
        downsample_channels=7,
        residual_scale=0.5,
        exit_projection=False,
        upsampling="pixel_shuffle",
        output_kernel=5,
    ),
    linear_shuffled: MagnifierConfig(
        encoder_channels=4,
        encoder_kernel=5,
        decoder_depth=1,
        decoder_channels=5,
        decoder_body=("conv5",),
        upsample_channels=6,
        bottleneck=2,
        upsampling="pixel_shuffle",
        output_kernel=1,
    ),
    single_nearest: MagnifierConfig(
        encoder="linear_single",
        encoder_channels=4,
        encoder_kernel=17,
        decoder_depth=0,
        decoder_channels=5,
        upsample_channels=6,
        downsample_channels=3,
        exit_projection=False,
        output_kernel=9,
    ),
}


@pytest.mark.parametrize("writing", WRITINGS, ids=lambda writing: writing.__name__)
def test_network_equals_its_definition(writing):
    config = WRITINGS[writing]
    magnifier = build(config)
    assert config.min_size <= 24
    a, b = frames(2, 3, 24, 32), frames(2, 3, 24, 32, seed=2)
    expected = writing(Writing(magnifier), a.double().numpy(), b.double().numpy(), 4.0)
    assert np.abs(magnifier(a, b, 5.0).numpy() - expected).max() < 2e-5 * np.abs(expected).max()
    double = magnifier.double()  # past ``encode``, which fixes float32
    shape_a, (texture, shape_b) = double.encoder(a.double()).shape, double.encoder(b.double())
    exact = double.decoder(texture, double.manipulator(shape_a, shape_b, 5.0))
    np.testing.assert_allclose(exact.numpy(), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
