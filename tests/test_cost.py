"""The closed form against the paper's printed figures, a count over the running network, and gradients."""

import functools
import math
import random
from dataclasses import fields, replace
from fractions import Fraction

import pytest
import torch
from random_architectures import KINDS, random_architecture
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_mm.cost import PAPER_SIZE, ConvLayer, cost, layers, receptive_field
from lightning_mm.models import Magnifier, MagnifierConfig

BASELINE, PROPOSED = MagnifierConfig.baseline(), MagnifierConfig.proposed()


def baseline_with(**values):
    return replace(BASELINE, **values)


def table2(depth, width):
    # The widths beside the body stay at the baseline's 64: 1x1 convolutions go in and come out where c_D differs.
    return baseline_with(decoder_depth=depth, decoder_channels=width, upsample_channels=64)


def fig5(encoder, **values):
    return baseline_with(encoder=encoder, bottleneck=4, **values)


SCALED_BODY = {"decoder_depth": 36, "decoder_channels": 32}
KEPT_WIDTHS = {"upsample_channels": 64, "downsample_channels": 64}

# (name, config, parameters, G to three decimals, G as the paper prints it)
EXACT = [
    ("baseline", BASELINE, 966_979, "41.327", "41.3"),
    ("table 1, encoder blocks removed", baseline_with(encoder_blocks=(0, 0, 0)), 837_507, "37.570", "37.6"),
    ("table 1, manipulator block removed", baseline_with(manipulator_block=False), 948_483, "40.644", "40.6"),
    ("table 1, six decoder blocks removed", baseline_with(decoder_depth=3), 523_843, "24.977", "25.0"),
    ("table 2, 3 x 112", table2(3, 112), 994_835, "42.345", "42.3"),
    ("table 2, 6 x 80", table2(6, 80), 1_004_819, "42.718", "42.7"),
    ("table 2, 9 x 64", table2(9, 64), 966_979, "41.327", "41.3"),
    ("table 2, 12 x 56", table2(12, 56), 988_283, "42.116", "42.1"),
    ("table 2, 15 x 48", table2(15, 48), 932_051, "40.045", "40.0"),
    ("table 2, 36 x 32", table2(36, 32), 972_323, "41.545", "41.5"),
    ("table 2, 144 x 16", table2(144, 16), 972_563, "41.597", "41.6"),
    ("table A7, 13", baseline_with(encoder_blocks=(5, 4, 4), decoder_depth=8), 1_004_099, "41.676", "41.7"),
    ("table A7, 22", baseline_with(encoder_blocks=(8, 7, 7), decoder_depth=6), 1_022_851, "40.836", "40.8"),
    ("table A7, 28", baseline_with(encoder_blocks=(10, 9, 9), decoder_depth=5), 1_059_971, "41.185", "41.2"),
    ("bottleneck 1/4 alone", baseline_with(bottleneck=4), 1_040_835, "24.638", "24.6"),
    ("proposed", PROPOSED, 726_323, "9.861", "9.86"),
]
# (name, config, G): rows that meet the paper's figure to about 2 %, held to our reading of them.
NEAR = [
    ("linear", fig5("linear"), "20.64"),
    ("linear, d_D c_D", fig5("linear", **SCALED_BODY, **KEPT_WIDTHS), "20.70"),
    ("linear, c_upsample", fig5("linear", **SCALED_BODY), "12.99"),
    ("single", fig5("linear_single"), "20.53"),
    ("single, d_D c_D", fig5("linear_single", **SCALED_BODY, **KEPT_WIDTHS), "20.58"),
    ("single, c_upsample", fig5("linear_single", **SCALED_BODY), "12.88"),
    ("single, c_E", fig5("linear_single", **SCALED_BODY, encoder_channels=16), "10.08"),
]


@pytest.mark.parametrize(
    ("config", "params", "gflops", "printed"), [pytest.param(*row[1:], id=row[0]) for row in EXACT]
)
def test_papers_tables_to_the_printed_digit(config, params, gflops, printed):
    report = cost(config)
    assert report.params == params
    assert f"{report.paper_gflops:.3f}" == gflops
    assert f"{report.paper_gflops:.{len(printed.split('.')[1])}f}" == printed


@pytest.mark.parametrize(("config", "gflops"), [pytest.param(*row[1:], id=row[0]) for row in NEAR])
def test_middle_rows_of_fig_5(config, gflops):
    assert f"{cost(config).paper_gflops:.2f}" == gflops


def test_parameters_that_the_paper_prints_for_the_proposed_model_include_the_block():
    assert cost(replace(PROPOSED, manipulator_block=True)).params == 730_963
    assert cost(fig5("linear_single", **SCALED_BODY, encoder_channels=16)).params == 730_547


def test_default_size_is_the_papers():
    report = cost(BASELINE)
    assert PAPER_SIZE == (384, 384) == (report.height, report.width)
    assert report == cost(BASELINE, (384, 384))
    assert report.paper_gflops == report.paper_flops / 1e9
    assert report.flops_two_per_mac == 2 * report.macs == 82_391_334_912


def test_one_layer_by_hand():
    layer = ConvLayer("decoder", in_channels=5, out_channels=7, kernel=3, scale=Fraction(1, 2), relu=True)
    assert layer.params == 7 * 5 * 9 + 7
    assert layer.macs(16 * 24) == 8 * 12 * 7 * 5 * 9
    assert layer.paper_flops(16 * 24) == 8 * 12 * 7 * (5 * 9 + 1 + 1)
    assert replace(layer, relu=False).paper_flops(16 * 24) == 8 * 12 * 7 * (5 * 9 + 1)
    depthwise = ConvLayer("decoder", 6, 6, kernel=7, scale=Fraction(1, 4), relu=False, groups=6)
    assert depthwise.params == 6 * 49 + 6
    assert depthwise.macs(16 * 24) == 4 * 6 * 6 * 49
    assert depthwise.paper_flops(16 * 24) == 4 * 6 * 6 * (49 + 1)


def test_pixel_shuffle_convolves_in_front_of_each_enlargement_by_hand():
    config = MagnifierConfig(
        decoder_depth=0,
        decoder_channels=5,
        upsample_channels=6,
        upsampling="pixel_shuffle",
        exit_projection=False,
        output_kernel=3,
    )
    quarter, half, full = 16 * 24 // 16, 16 * 24 // 4, 16 * 24
    tail = [layer.paper_flops(16 * 24) for layer in layers(config)[-3:]]
    assert tail == [quarter * 24 * (5 * 9 + 2), half * 12 * (6 * 9 + 2), full * 3 * (3 * 9 + 1)]


def steady_state(magnifier, size):
    """What one frame of a video costs: its own encoding, then manipulator and decoder (frame a's encoding is there)."""
    encoded = magnifier.encode(torch.zeros(1, 3, *size))
    magnifier.decode(encoded.texture, magnifier.manipulate(encoded.shape, encoded.shape, 2.0), size)


def count(magnifier, size):
    counted = {"macs": 0, "bias": 0, "relu": 0}

    def convolution(module, inputs, output):
        assert inputs[0].shape[0] == output.shape[0] == 1
        counted["macs"] += math.prod(output.shape[-2:]) * module.weight.numel()
        counted["bias"] += output.numel() * (module.bias is not None)

    def activation(module, inputs, output):
        counted["relu"] += output.numel()

    for module in magnifier.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(convolution)
        elif isinstance(module, nn.ReLU):
            module.register_forward_hook(activation)
    steady_state(magnifier, size)
    return counted


@pytest.mark.parametrize("seed", range(150))
def test_closed_form_equals_a_count_over_the_network(seed):
    rng = random.Random(seed)
    config, size = random_architecture(rng), (rng.randint(1, 50), rng.randint(1, 50))
    with torch.no_grad():
        magnifier = Magnifier(config)
        counted = count(magnifier, size)
    report = cost(config, size)
    assert report.params == sum(p.numel() for p in magnifier.parameters())
    assert report.macs == counted["macs"]
    assert report.paper_flops == counted["macs"] + counted["bias"] + counted["relu"]
    assert (report.height, report.width) == size
    convolutions = [module for module in magnifier.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers(config)) == len(convolutions)
    for part in ("encoder", "manipulator", "decoder"):
        own = sum(p.numel() for p in getattr(magnifier, part).parameters())
        assert sum(layer.params for layer in layers(config) if layer.part == part) == own


@pytest.mark.parametrize("seed", range(200, 230))
def test_two_per_mac_equals_torchs_own_counter(seed):
    rng = random.Random(seed)
    config, size = random_architecture(rng), (rng.randint(8, 40), rng.randint(8, 40))
    magnifier = Magnifier(config)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        steady_state(magnifier, size)
    assert cost(config, size).flops_two_per_mac == counter.get_total_flops()


@functools.cache
def input_extents(config):
    """Rows of input that each of 16 neighbouring output rows depends on, from exact gradients.

    All weights are positive and so is frame b against a black frame a, so every ReLU is open and nothing cancels: the
    gradient is not zero exactly where there is a path. In double precision, through the three parts.
    """
    magnifier = Magnifier(config).double()
    for name, parameter in magnifier.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0 / parameter[0].numel())
    period = 16
    height = -(-(2 * receptive_field(config) + 64) // period) * period
    frame_b = torch.ones(1, 3, height, config.min_size, dtype=torch.float64, requires_grad=True)
    a, b = magnifier.encoder(torch.zeros_like(frame_b)), magnifier.encoder(frame_b)
    output = magnifier.decoder(b.texture, magnifier.manipulator(a.shape, b.shape, 3.0))
    middle, found = height // 2 // period * period, []
    for row in range(middle, middle + period):
        (gradient,) = torch.autograd.grad(output[0, :, row, 0].sum(), frame_b, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        assert rows[0] > 0, "the frame is too small to hold the field"
        assert rows[-1] < height - 1, "the frame is too small to hold the field"
        found.append(int(rows[-1] - rows[0]) + 1)
    return found


def label(config):
    return "-".join(str(v) for v, f in zip(config.to_dict().values(), fields(config), strict=True) if v != f.default)


def tiny(encoder, bottleneck, depth, block=False, blocks=(1, 1, 1), **values):
    return MagnifierConfig(
        encoder=encoder,
        encoder_blocks=blocks,
        encoder_channels=2,
        manipulator_block=block,
        decoder_depth=depth,
        decoder_channels=2,
        bottleneck=bottleneck,
        **values,
    )


FIELDS = [
    tiny("linear", 2, 0),
    tiny("linear", 2, 2, block=True),
    tiny("linear_single", 2, 0, block=True),
    tiny("linear_single", 2, 1),
    tiny("residual", 2, 1, block=True, blocks=(2, 0, 1)),
    tiny("residual", 2, 0, block=True, blocks=(3, 2, 2)),
    tiny("linear", 4, 0),
    tiny("linear", 4, 2, block=True),
    tiny("linear", 8, 0, block=True),
    tiny("linear", 8, 1),
    tiny("linear_single", 4, 1, block=True),
    tiny("linear_single", 8, 0),
    tiny("residual", 2, 1, blocks=(0, 2, 0)),
    tiny("residual", 4, 1, blocks=(1, 0, 2)),
    tiny("residual", 4, 0, blocks=(0, 3, 0)),
    tiny("residual", 8, 1, block=True, blocks=(1, 1, 1)),
    *(tiny("linear", bottleneck, 1, decoder_body=(kind,)) for kind in KINDS[1:] for bottleneck in (2, 8)),
    tiny("residual", 2, 0, blocks=(1, 0, 2), encoder_body=("dilated3", "separable7", "conv5")),
    tiny("residual", 2, 0, blocks=(0, 3, 0), encoder_body=("dilated3", "conv7", "conv5")),
    *(tiny("linear", b, 0, upsampling="pixel_shuffle", output_kernel=k) for b in (2, 4, 8) for k in (1, 3)),
    *(tiny("linear_single", b, 1, upsampling="pixel_shuffle", output_kernel=9) for b in (2, 4, 8)),
    *(tiny("linear_single", b, 1, output_kernel=k, encoder_kernel=3) for b in (4, 8) for k in (1, 3, 5, 9)),
    tiny("linear", 4, 2, encoder_kernel=31, stem_channels=1, decoder_body=("separable7", "dilated3")),
]


@pytest.mark.parametrize("config", FIELDS, ids=label)
def test_receptive_field_is_the_largest_support_of_a_gradient(config):
    assert receptive_field(config) == max(input_extents(config))


def test_receptive_field_of_the_baseline():
    assert receptive_field(BASELINE) == cost(BASELINE).receptive_field == 159
