"""Switches on networks that are not ours, and on the magnifier: what is mixed, what is refused, what is left."""

import copy
import math

import pytest
import torch
from torch import nn

from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.blocks import ResidualBlock
from lightning_mm.models.switches import Switch, clamp_, cut, insert_switches, penalty, switches_of

COMPONENTS = [("*relu", "identity"), ("blocks.?", "identity"), ("blocks.?", "skip")]


class Block(nn.Module):
    """x + scale * (linear2(relu(linear1(x))))."""

    def __init__(self, width):
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, width)

    def branch(self, x):
        return 0.5 * self.second(self.relu(self.first(x)))

    def forward(self, x):
        return x + self.branch(x)


class Toy(nn.Module):
    def __init__(self, width=6, depth=3):
        super().__init__()
        self.entry = nn.Linear(4, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.exit = nn.Linear(width, 2)

    def forward(self, x):
        x = self.entry(x)
        for block in self.blocks:
            x = block(x)
        return self.exit(x)


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy().double()


@pytest.fixture
def x():
    return torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("select", "component"), COMPONENTS)
def test_nothing_changes_before_training(toy, x, select, component):
    before = toy(x)
    switches = insert_switches(toy, select, component)
    assert len(switches) == 3
    assert all(switch.omega.shape == () and switch.omega.item() == 0.0 for switch in switches.values())
    torch.testing.assert_close(toy(x), before, rtol=0.0, atol=0.0)


def test_a_switch_mixes_and_its_derivative_is_the_difference():
    relu, x = nn.ReLU(inplace=True), torch.tensor([-2.0, 3.0], dtype=torch.float64, requires_grad=True)
    switch = Switch(relu)
    switch.omega.data.fill_(0.25)
    before = x.detach().clone()
    output = switch(x * 1.0)
    assert output.tolist() == [0.25 * -2.0, 3.0]
    output.sum().backward()
    assert float(switch.omega.grad) == -2.0  # d/d omega = A_t - A_o
    assert x.grad.tolist() == [0.25, 1.0]
    assert torch.equal(x.detach(), before)


def test_an_in_place_component_leaves_the_input_alone():
    x = torch.tensor([-1.0, 1.0])
    for original in (nn.ReLU(inplace=True), nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.0))):
        Switch(original)(x)
        assert x.tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(("select", "component"), COMPONENTS)
@pytest.mark.parametrize("removed", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_cut_network_is_the_switched_one_at_the_ends(toy, x, select, component, removed):
    switches = insert_switches(toy, select, component)
    for place, switch in enumerate(switches.values()):
        switch.omega.data.fill_(float(place in removed))
    expected, before = toy(x), sum(p.numel() for p in toy.parameters()) - len(switches)
    assert cut(toy, 0.5) == [name for place, name in enumerate(switches) if place in removed]
    torch.testing.assert_close(toy(x), expected, rtol=1e-12, atol=1e-12)
    assert not switches_of(toy)
    gone = 2 * (6 * 6 + 6) * len(removed) if (select, component) == ("blocks.?", "identity") else 0
    assert sum(p.numel() for p in toy.parameters()) == before - gone
    assert sum(isinstance(module, nn.ReLU) for module in toy.modules()) == (
        3 if component == "skip" else 3 - len(removed)
    )


def test_what_lies_at_the_threshold_stays(toy):
    switches = insert_switches(toy, "blocks.?", "identity")
    for switch, value in zip(switches.values(), (0.5, 0.5001, 0.4999), strict=True):
        switch.omega.data.fill_(value)
    assert cut(toy, 0.5) == ["blocks.1"]


def test_training_removes_the_useless_block_and_keeps_the_vital_one():
    """The target needs what block 0 computes; block 1 may be the identity, as it starts."""
    torch.manual_seed(3)
    net = Toy(depth=2)
    for parameter in net.blocks[1].second.parameters():
        parameter.data.mul_(0.1)
    x = torch.randn(256, 4)
    teacher = copy.deepcopy(net)
    teacher.blocks[0].second.weight.data.mul_(6.0)
    teacher.blocks[1] = nn.Identity()
    net.blocks[0].load_state_dict(teacher.blocks[0].state_dict())
    target = teacher(x).detach()
    switches = insert_switches(net, Block, "identity")
    omegas = [switch.omega for switch in switches.values()]
    rest = [p for p in net.parameters() if all(p is not omega for omega in omegas)]
    optimizer = torch.optim.Adam([{"params": rest, "lr": 1e-4}, {"params": omegas, "lr": 0.02}])
    for _ in range(300):
        loss = nn.functional.mse_loss(net(x), target) + 0.01 * penalty(switches, 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clamp_(switches)
        assert all(0.0 <= omega.item() <= 1.0 for omega in omegas)
    assert omegas[1].item() > 0.95
    assert omegas[0].item() < 0.3
    assert cut(net, 0.5) == ["blocks.1"]
    finetuned = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(100):
        finetuned.zero_grad()
        nn.functional.mse_loss(net(x), target).backward()
        finetuned.step()
    assert nn.functional.mse_loss(net(x), target).item() < 1e-3


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_the_penalty_is_eq_5(toy, power):
    switches = insert_switches(toy, Block, "identity")
    values = (0.0, 0.3, 1.0)
    for switch, value in zip(switches.values(), values, strict=True):
        switch.omega.data.fill_(value)
    loss = penalty(switches, power)
    assert loss.item() == pytest.approx(sum(1.0 - value**power for value in values) / 3, abs=1e-6)
    loss.backward()
    for switch, value in zip(switches.values(), values, strict=True):
        assert float(switch.omega.grad) == pytest.approx(-power * value ** (power - 1.0) / 3, abs=1e-6)


def test_omegas_are_projected(toy):
    switches = insert_switches(toy, Block, "skip")
    for switch, value in zip(switches.values(), (-0.2, 0.4, 1.7), strict=True):
        switch.omega.data.fill_(value)
    clamp_(switches)
    assert [switch.omega.item() for switch in switches.values()] == pytest.approx([0.0, 0.4, 1.0])


def test_selections_by_name_pattern_and_type_agree(toy):
    by_type = insert_switches(copy.deepcopy(toy), nn.ReLU, "identity")
    by_pattern = insert_switches(copy.deepcopy(toy), "blocks.*.relu", "identity")
    by_names = insert_switches(copy.deepcopy(toy), [f"blocks.{i}.relu" for i in (2, 0, 1)], "identity")
    assert list(by_type) == list(by_pattern) == list(by_names) == [f"blocks.{i}.relu" for i in range(3)]


REFUSED = [
    ("blocks.7", "identity", r"named 'blocks\.7' in the Toy; there are entry, blocks, blocks\.0"),
    (["blocks.0", "nowhere.*"], "identity", r"named 'nowhere\.\*'"),
    (nn.Conv2d, "identity", r"of type Conv2d in the Toy; there are Linear, ModuleList, Block, ReLU"),
    ([], "identity", "nothing; there are entry"),
    (["blocks.0", "blocks.0.relu"], "identity", r"'blocks\.0\.relu' lies in 'blocks\.0'"),
    ("entry", "skip", "'entry': a Linear says not what its branch is"),
    ("blocks.0", "layer", "component = 'layer': must be one of"),
]


@pytest.mark.parametrize(("select", "component", "message"), REFUSED)
def test_wrong_selections_are_refused_and_change_nothing(toy, select, component, message):
    with pytest.raises(ValueError, match=message):
        insert_switches(toy, select, component)
    assert not switches_of(toy)


def test_what_would_change_the_shape_is_refused(toy, x):
    insert_switches(toy, "entry", "identity")
    with pytest.raises(ValueError, match=r"a Linear leads from shape \(5, 4\) to \(5, 6\)"):
        toy(x)


def test_twice_is_refused_and_so_are_cuts_of_nothing_or_beyond_the_range(toy):
    with pytest.raises(ValueError, match="Toy has no switches"):
        cut(toy, 0.5)
    insert_switches(toy, "blocks.0", "skip")
    with pytest.raises(ValueError, match=r"has switches already \(blocks\.0\)"):
        insert_switches(toy, "blocks.1", "skip")
    for threshold in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be in"):
            cut(toy, threshold)


def test_a_module_with_two_names_has_one_switch():
    shared = nn.ReLU()
    net = nn.ModuleDict({"first": shared, "second": shared})
    switches = insert_switches(net, "second", "identity")
    assert list(switches) == ["first"]
    assert net["first"] is net["second"] is switches["first"]
    switches["first"].omega.data.fill_(1.0)
    assert cut(net, 0.5) == ["first"]
    assert not isinstance(net["second"], Switch | nn.ReLU)
    assert not switches_of(net)


def test_further_arguments_reach_the_component():
    class Scaled(nn.Module):
        def forward(self, x, size, factor=1.0):
            return x * size * factor

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scaled = Scaled()

        def forward(self, x):
            return self.scaled(x, 3, factor=2.0)

    net, one = Net(), torch.ones(1)
    switches = insert_switches(net, Scaled, "identity")
    switches["scaled"].omega.data.fill_(0.5)
    assert net(one).item() == 0.5 * 6.0 + 0.5
    switches["scaled"].omega.data.fill_(1.0)
    cut(net, 0.5)
    assert net(one).item() == 1.0


def test_copies_and_state_dicts_keep_the_omegas(toy, x):
    switches = insert_switches(toy, Block, "skip")
    switches["blocks.1"].omega.data.fill_(0.7)
    copied = copy.deepcopy(toy)
    fresh = Toy().double()
    insert_switches(fresh, Block, "skip")
    fresh.load_state_dict(toy.state_dict())
    for other in (copied, fresh):
        torch.testing.assert_close(other(x), toy(x), rtol=0.0, atol=0.0)
        assert switches_of(other)["blocks.1"].omega.item() == pytest.approx(0.7)
    switches_of(copied)["blocks.1"].omega.data.fill_(0.0)
    assert switches["blocks.1"].omega.item() == pytest.approx(0.7)


@pytest.mark.parametrize(("select", "component"), COMPONENTS)
def test_autocast(select, component):
    torch.manual_seed(0)
    toy = Toy()
    switches = insert_switches(toy, select, component)
    for switch in switches.values():
        switch.omega.data.fill_(0.5)
    x = torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = toy(x)
    torch.testing.assert_close(output.float(), toy(x), rtol=0.05, atol=0.05)
    output.float().sum().backward()
    assert all(switch.omega.grad.dtype == torch.float32 for switch in switches.values())


def test_residual_blocks_of_the_magnifier_can_lose_either_part():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 8, 8)
    for kind in ("conv3", "separable7"):
        block = ResidualBlock(4, 0.5, kind)
        torch.testing.assert_close(block(x), x + block.branch(x))
        plain = ResidualBlock(4, 0.5, kind, skip=False)
        plain.load_state_dict(block.state_dict())
        torch.testing.assert_close(plain(x), block.branch(x))
        linear = ResidualBlock(4, 0.5, kind, relu=False, skip=False)
        linear.load_state_dict(block.state_dict())
        zero = linear(torch.zeros_like(x))
        torch.testing.assert_close(linear(3.0 * x) - zero, 3.0 * (linear(x) - zero), rtol=1e-4, atol=1e-4)


def test_switches_go_into_the_magnifier():
    magnifier = Magnifier(MagnifierConfig(encoder="residual", encoder_channels=4, decoder_depth=2, decoder_channels=4))
    switches = insert_switches(magnifier, ResidualBlock, "skip")
    assert len(switches) == 3 + 2 + 2 + 2
    frames = torch.zeros(1, 3, 16, 16)
    assert magnifier(frames, frames, 3.0).shape == (1, 3, 16, 16)
