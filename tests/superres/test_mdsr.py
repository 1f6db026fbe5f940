"""MDSR: parameters of Table A1, sizes, which parts a scale uses, and what a block computes."""

import pytest
import torch
import torch.nn.functional as F

from lightning_mm.superres.mdsr import MDSR, SCALES, MDSRConfig, ResidualBlock

TINY = MDSRConfig(channels=4, encoder_blocks=1, decoder_blocks=2)


@pytest.mark.parametrize(
    ("config", "params"),
    [
        (MDSRConfig(), 3_227_203),
        (MDSRConfig(encoder_blocks=0), 1_997_635),
        (MDSRConfig(decoder_blocks=0), 2_045_507),
    ],
)
def test_parameters_are_those_of_table_a1(config, params):
    with torch.device("meta"):
        assert sum(p.numel() for p in MDSR(config).parameters()) == params


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 3)])
def test_output_is_scale_times_as_large(scale, size):
    output = MDSR(TINY)(torch.zeros(2, 3, *size), scale)
    assert output.shape == (2, 3, scale * size[0], scale * size[1])


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_trains_its_own_branches_and_what_all_share(scale):
    network = MDSR(TINY)
    network(torch.randn(1, 3, 4, 4), scale).square().sum().backward()
    trained = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    others = tuple(f"{part}.x{other}." for part in ("encoder", "upsampler") for other in SCALES if other != scale)
    assert trained == {name for name, _ in network.named_parameters() if not name.startswith(others)}


def test_without_blocks_the_skip_around_the_body_remains():
    network = MDSR(MDSRConfig(4, 0, 0))
    x = torch.randn(1, 3, 5, 6)
    h = F.conv2d(x, network.head.weight, network.head.bias, padding=1)
    h = h + F.conv2d(h, network.decoder_out.weight, network.decoder_out.bias, padding=1)
    conv = network.upsampler["x3"][0]
    h = F.pixel_shuffle(F.conv2d(h, conv.weight, conv.bias, padding=1), 3)
    expected = F.conv2d(h, network.tail.weight, network.tail.bias, padding=1)
    torch.testing.assert_close(network(x, 3), expected)


def test_a_block_has_no_activation_behind_the_sum():
    block = ResidualBlock(3, 5)
    x = -torch.rand(1, 3, 6, 6) - 10.0
    inner = F.relu(F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=2))
    torch.testing.assert_close(block(x), x + F.conv2d(inner, block.conv2.weight, block.conv2.bias, padding=2))
    assert block(x).max() < 0


def test_two_blocks_reach_as_far_as_two_5x5_pairs():
    """An encoder branch of two blocks sees 8 pixels to each side, and the head one more."""
    torch.manual_seed(0)
    network = MDSR(MDSRConfig(8, 2, 0)).double()
    x = torch.zeros(1, 3, 41, 41, dtype=torch.float64, requires_grad=True)
    network.encoder["x2"](network.head(x))[0, :, 20, 20].sum().backward()
    reached = x.grad[0].abs().sum(0).nonzero()
    assert (reached.amin(0) >= 20 - 9).all()
    assert (reached.amax(0) <= 20 + 9).all()
    assert (reached.amax(0) - reached.amin(0)).max() > 12


def test_a_scale_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"scale = 5: must be one of \(2, 3, 4\)"):
        MDSR(TINY)(torch.zeros(1, 3, 4, 4), 5)


@pytest.mark.parametrize(("name", "value"), [("channels", 0), ("encoder_blocks", -1), ("decoder_blocks", -2)])
def test_sizes_that_are_none_are_named(name, value):
    with pytest.raises(ValueError, match=rf"MDSRConfig\.{name} = {value}"):
        MDSRConfig(**{name: value})
