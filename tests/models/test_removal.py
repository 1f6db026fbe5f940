"""Cut magnifiers are ordinary ones: each part and component, whole and partly; same output and lower cost."""

from dataclasses import replace

import pytest
import torch
from random_architectures import build, frames

from lightning_mm.cost import cost
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.removal import remaining, removable, switch_components
from lightning_mm.models.switches import cut
from lightning_mm.weights import WeightsInfo, load_magnifier, write_weights

SMALL = MagnifierConfig(
    "residual",
    (2, 1, 1),
    encoder_channels=4,
    manipulator_block=True,
    decoder_depth=3,
    decoder_channels=4,
    bottleneck=2,
    residual_scale=0.5,
)
COUNTS = {"encoder": 4, "manipulator": 1, "decoder": 3}
FIELDS = {"relu": "linear_blocks", "skip": "plain_blocks"}
INFO = WeightsInfo("Of a test.", {}, [], "none", "none")
CASES = [(part, component) for part in COUNTS for component in ("relu", "skip", "block")]


def without(config, part, component, removed):
    """The cut magnifier, its output before the cut, and what is left."""
    magnifier = build(config)
    switches = switch_components(magnifier, part, component)
    for place, switch in enumerate(switches.values()):
        switch.omega.data.fill_(float(place in removed))
    a, b = frames(2, 1, 3, 16, 20)
    expected = magnifier(a, b, 3.0)
    cut(magnifier, 0.5)
    return magnifier, (a, b, 3.0), expected, remaining(magnifier)


@pytest.mark.parametrize("which", ["none", "some", "all"])
@pytest.mark.parametrize(("part", "component"), CASES)
def test_the_rebuilt_magnifier_is_the_switched_one(part, component, which, tmp_path):
    removed = {"none": (), "some": (0, 2), "all": range(COUNTS[part])}[which]
    _, inputs, expected, (config, state) = without(SMALL, part, component, removed)
    write_weights(tmp_path / "cut.safetensors", state, config, INFO)
    for magnifier in (Magnifier(config).eval(), load_magnifier(tmp_path / "cut.safetensors")):
        magnifier.load_state_dict(state)
        assert magnifier.config == config == config.canonical()
        torch.testing.assert_close(magnifier(*inputs), expected, rtol=1e-5, atol=1e-5)
    gone = [f"{part}.{n}" for n in removed if n < COUNTS[part]]
    if component == "block":
        assert config.block_counts == COUNTS | {part: COUNTS[part] - len(gone)}
        assert (config.linear_blocks, config.plain_blocks) == ((), ())
    else:
        assert config.block_counts == COUNTS
        named = [part] if len(gone) == COUNTS[part] else gone
        assert getattr(config, FIELDS[component]) == tuple(named)
        assert cost(config).params == cost(SMALL).params
        assert cost(config).receptive_field == cost(SMALL).receptive_field


def test_blocks_of_several_kinds_are_left_in_order():
    kinds = ("conv3", "conv5", "dilated3", "separable7")
    body = ("conv5", "dilated3", "conv3")
    mixed = MagnifierConfig(
        "residual",
        (2, 1, 1),
        4,
        True,
        3,
        4,
        bottleneck=2,
        encoder_body=kinds,
        decoder_body=body,
        linear_blocks=("decoder.2",),
    )
    _, inputs, expected, (config, state) = without(mixed, "encoder", "block", (0, 2))
    assert (config.encoder_blocks, config.encoder_body) == ((1, 0, 1), ("conv5", "separable7"))
    assert config.linear_blocks == ("decoder.2",)
    magnifier = Magnifier(config).eval()
    magnifier.load_state_dict(state)
    torch.testing.assert_close(magnifier(*inputs), expected, rtol=1e-5, atol=1e-5)
    _, inputs, expected, (config, state) = without(mixed, "decoder", "block", (0,))
    assert (config.decoder_body, config.linear_blocks) == (("dilated3", "conv3"), ("decoder.1",))
    magnifier = Magnifier(config).eval()
    magnifier.load_state_dict(state)
    torch.testing.assert_close(magnifier(*inputs), expected, rtol=1e-5, atol=1e-5)


TABLE_1 = [
    ("encoder", range(7), 837_507, 37.570),
    ("manipulator", range(1), 948_483, 40.644),
    ("decoder", range(1, 7), 523_843, 24.977),
]


@pytest.mark.parametrize(("part", "removed", "params", "gflops"), TABLE_1)
def test_costs_without_blocks_are_those_of_table_1(part, removed, params, gflops):
    magnifier = Magnifier(MagnifierConfig.baseline(), initialise=False)
    for place, switch in enumerate(switch_components(magnifier, part, "block").values()):
        switch.omega.data.fill_(float(place in removed))
    cut(magnifier, 0.5)
    config, state = remaining(magnifier)
    figures = cost(config)
    assert figures.params == params == sum(value.numel() for value in state.values())
    assert figures.paper_gflops == pytest.approx(gflops, abs=6e-4)


def test_flops_without_relus_are_fewer_by_their_outputs():
    """One per output: 32 channels, at half of 384 x 384 for five blocks and at a quarter for two."""
    baseline = cost(MagnifierConfig.baseline())
    linear = cost(replace(MagnifierConfig.baseline(), linear_blocks=("encoder",)))
    assert baseline.paper_flops - linear.paper_flops == 32 * (5 * 192**2 + 2 * 96**2)
    assert (baseline.params, baseline.macs) == (linear.params, linear.macs)


REFUSED = [
    (MagnifierConfig(), "encoder", "block", r"the encoder \(linear\) of this architecture has no residual blocks"),
    (MagnifierConfig(), "manipulator", "skip", "the manipulator of this architecture has no residual blocks"),
    (MagnifierConfig(plain_blocks=("decoder",)), "decoder", "skip", "no residual block with its skip"),
]


@pytest.mark.parametrize(("config", "part", "component", "message"), REFUSED)
def test_what_is_not_there_is_refused_by_name(config, part, component, message):
    with pytest.raises(ValueError, match=message):
        removable(config, part, component)


def test_what_is_gone_already_is_left_out():
    config = MagnifierConfig(linear_blocks=("decoder.0", "decoder.2"), decoder_depth=4)
    assert removable(config, "decoder", "relu") == {
        "decoder.1": "decoder.body.1.relu",
        "decoder.3": "decoder.body.3.relu",
    }


def test_blocks_without_their_skip_let_everything_through_from_the_start():
    torch.manual_seed(0)
    config = MagnifierConfig(decoder_depth=4, decoder_channels=8, encoder_channels=4, plain_blocks=("decoder",))
    magnifier = Magnifier(config)
    a, b = frames(2, 1, 3, 16, 16)
    (magnifier(a, b, 3.0) ** 2).mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in magnifier.decoder.body.parameters())
