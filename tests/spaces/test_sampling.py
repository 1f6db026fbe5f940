"""Draws below a cap: all of them feasible, in a bounded number of steps, and uniform where the cap does not bind."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare, kstest
from small_spaces import CHOICE, ELASTIC, changed, genotypes

from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.nas.spec import read_row
from lightning_mm.spaces import ChoiceSpace, ElasticSpace, Genotype, path_rng

ROWS = {row.name: row for row in map(read_row, sorted((Path(__file__).parents[2] / "sweeps").glob("nas_[a-f].yaml")))}
SHALLOW = ElasticSpace(decoder_depth=(1, 2, 4))  # as the default space, and costs are computed sooner
SAMPLES = 2500


def flops(space, genotype):
    """Not by the space's own table."""
    return cost(space.config(genotype)).paper_flops


@pytest.fixture(scope="module", params=ROWS)
def row(request):
    return ROWS[request.param]


@pytest.fixture(scope="module")
def samples(row):
    return genotypes(row.space, SAMPLES, seed=1, max_gflops=row.max_gflops)


def test_the_rows_that_ship_are_all_here():
    assert list(ROWS) == ["a", "b", "c", "d", "e", "f"]


def test_the_sum_over_blocks_is_the_cost(row):
    for genotype in genotypes(row.space, 150, seed=2):
        assert row.space.flops(genotype) == flops(row.space, genotype)


def test_every_sample_is_feasible(row, samples):
    assert max(row.space.flops(genotype) for genotype in samples) <= row.max_gflops * 1e9
    assert all(flops(row.space, genotype) <= row.max_gflops * 1e9 for genotype in samples[::50])
    for genotype in samples[::50]:
        row.space.require(genotype)
    assert len(set(samples)) > 0.99 * SAMPLES


def test_full_depth_is_as_frequent_as_it_should_be(row, samples):
    """With four equal candidates, of which one is a skip: 0.75 ** blocks where the cap does not bind."""
    depth = row.space.stacks["decoder.body"]
    share = np.mean(["skip" not in genotype.values[7:] for genotype in samples])
    depths = [sum(value != "skip" for value in genotype.values[7:]) for genotype in samples]
    print(f"row {row.name}: full decoder depth in {share:.2%} of samples, mean depth {np.mean(depths):.2f}")
    if row.space.attainable[1] < row.max_gflops:
        expected = 0.75**depth
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected / SAMPLES))
        counts = np.bincount(depths, minlength=depth + 1)
        chances = [math.comb(depth, n) * 0.75**n * 0.25 ** (depth - n) for n in range(depth + 1)]
        rare = sum(chance * SAMPLES < 5 for chance in chances)  # which chi-square cannot judge one by one
        seen = [counts[:rare].sum(), *counts[rare:]] if rare else counts
        wanted = np.array([sum(chances[:rare]), *chances[rare:]] if rare else chances) * SAMPLES
        assert chisquare(seen, wanted).pvalue > 1e-3
    else:
        assert share < 0.75**depth, "what remains for a block is less"
    for place, choice in enumerate(row.space.choices):
        assert {genotype.values[place] for genotype in samples} == set(choice.values)


def test_costs_spread_when_asked_for(row, samples):
    spread = genotypes(row.space, 500, seed=3, max_gflops=row.max_gflops, spread=True)
    low, high = row.space.attainable
    high = min(high, row.max_gflops)
    costs = np.array([row.space.flops(genotype) for genotype in spread]) / 1e9
    crowded = np.array([row.space.flops(genotype) for genotype in samples[:500]]) / 1e9
    assert costs.min() >= low
    assert costs.max() <= high
    distance = kstest(costs, "uniform", (low, high - low)).statistic
    before = kstest(crowded, "uniform", (low, high - low)).statistic
    print(f"row {row.name}: distance to uniform {distance:.2f}, without spread {before:.2f}")
    quarters = np.histogram(costs, bins=4, range=(low, high))[0] / len(costs)
    if row.max_gflops < row.space.attainable[1]:
        assert distance < 0.25 * before
        assert quarters.min() > 0.1
    else:  # the dearest networks are rare, whatever the cap: what is drawn lies between the cheapest and the middle
        assert distance < 0.5
        assert quarters[0] > 0.2


UNIFORM = {
    "choice": ChoiceSpace((1, 0, 0), 2, 4, stem_channels=2, tail_channels=2),
    "elastic": ElasticSpace(
        (1,), (4,), (2,), (2, 4), ("linear_9", "residual_1"), (2, 4), ("nearest",), (3, 5, 7), ("conv3", "conv5")
    ),
}


@pytest.mark.parametrize("cap", ["none", "highest cost", "infinite"])
@pytest.mark.parametrize("name", UNIFORM)
def test_without_a_cap_that_binds_the_distribution_is_uniform(name, cap):
    space = UNIFORM[name]
    cap = {"none": None, "highest cost": space.attainable[1], "infinite": math.inf}[cap]
    seen = Counter(genotypes(space, 20 * space.size, seed=4, max_gflops=cap))
    assert len(seen) == space.size
    assert chisquare(list(seen.values())).pvalue > 1e-3


@pytest.mark.parametrize("name", UNIFORM)
def test_below_any_cap_all_that_is_feasible_is_seen_and_nothing_else(name):
    space = UNIFORM[name]
    everything = {Genotype(values) for values in itertools.product(*(choice.values for choice in space.choices))}
    costs = {genotype: flops(space, genotype) for genotype in everything}
    for quantile in (0.0, 0.1, 0.6):
        cap = float(np.quantile(list(costs.values()), quantile, method="higher")) / 1e9
        feasible = {genotype for genotype, value in costs.items() if value <= round(cap * 1e9)}
        assert set(genotypes(space, 25 * len(feasible), seed=5, max_gflops=cap)) == feasible
    assert space.attainable == (min(costs.values()) / 1e9, max(costs.values()) / 1e9)


@pytest.mark.parametrize(
    "space", [CHOICE, ELASTIC, ROWS["f"].space, SHALLOW], ids=["choice", "elastic", "f", "shallow"]
)
def test_the_number_of_steps_is_bounded(space, monkeypatch):
    low, high = space.attainable
    calls = []
    original = type(space).flops
    monkeypatch.setattr(type(space), "flops", lambda self, genotype: calls.append(genotype) or original(self, genotype))
    for cap in (None, low, low + 0.01 * (high - low), (low + high) / 2, high):
        for spread in (False, True):
            calls.clear()
            space.sample(np.random.default_rng(0), cap, spread)
            assert len(calls) <= sum(len(choice.values) for choice in space.choices)


@pytest.mark.parametrize("width", range(4, 84, 4))
def test_the_cheapest_network_can_be_had_by_its_own_cost(width):
    """Divided by 1e9 and multiplied again, its cost may come out smaller than it is."""
    for tail in (2, 6, 10, 14, 18):
        space = ChoiceSpace((0, 0, 0), 1, width, tail_channels=tail)
        low, high = space.attainable
        assert space.sample(np.random.default_rng(0), low) == Genotype(("skip",))
        assert space.admits(Genotype(("skip",)), low)
        assert space.admits(Genotype(("conv7",)), high)
        assert not space.admits(Genotype(("conv7",)), high - 1e-9)


@pytest.mark.parametrize("space", [*(row.space for row in ROWS.values()), CHOICE, ELASTIC, SHALLOW, ElasticSpace()])
def test_a_cap_that_nothing_meets_is_refused_with_the_range(space):
    low, high = space.attainable
    for cap in (low * 0.999, 0.0, -1.0, math.nan, -math.inf):
        for call in (space.require_cap, lambda cap: space.sample(np.random.default_rng(0), cap)):
            with pytest.raises(InputError) as caught:
                call(cap)
            assert str(caught.value) == f"max_gflops = {cap:g}: this space attains {low:.3f} to {high:.3f} G"
    space.require_cap(low)
    space.require_cap(math.inf)


# --- The elastic space ---


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_every_sample_of_the_elastic_space_is_feasible(share, spread):
    low, high = SHALLOW.attainable
    cap = low + share * (high - low)
    found = genotypes(SHALLOW, 60, seed=6, max_gflops=cap, spread=spread)
    assert max(flops(SHALLOW, genotype) for genotype in found) <= cap * 1e9
    assert len(set(found)) > 40


def test_the_elastic_space_is_sampled_below_the_proposed_networks_cost():
    space = ElasticSpace()
    found = genotypes(space, 25, seed=7, max_gflops=9.861)
    assert max(flops(space, genotype) for genotype in found) <= 9.861e9
    for choice in space.choices[:2]:
        assert {space.named(genotype)[choice.name] for genotype in found} == set(choice.values)
    costs = (
        np.array([space.flops(genotype) for genotype in genotypes(space, 40, 8, max_gflops=9.861, spread=True)]) / 1e9
    )
    assert kstest(costs, "uniform", (space.attainable[0], 9.861 - space.attainable[0])).statistic < 0.35


def test_cost_rises_in_every_gene_that_the_sampler_orders():
    space = ElasticSpace()
    for genotype in genotypes(space, 40, seed=9):
        for choice in space.choices:
            if choice.structural:
                continue
            costs = [flops(space, changed(space, genotype, **{choice.name: value})) for value in choice.values]
            assert costs == sorted(costs), (choice.name, genotype)
            if choice.ordered:
                assert len(set(costs)) == len(costs)


def test_kinds_are_ordered_by_cost_at_every_width_from_4():
    for width in range(4, 40):
        space = ElasticSpace((1,), (width,), (2,), (4,), ("linear_9",), (2,), ("nearest",), (3,), tuple(KINDS))
        costs = [
            flops(space, changed(space, genotypes(space, 1)[0], stage_1=kind)) for kind in space.choices[-1].values
        ]
        assert costs == sorted(costs)
        assert space.choices[-1].values[0] == "separable7"


KINDS = ("conv7", "conv5", "dilated3", "conv3", "separable7")


def test_samples_are_feasible_where_cost_does_not_rise():
    """A projection that a wider decoder does without can cost more than the width."""
    space = ElasticSpace(
        (1,), (120, 128), (64,), (2,), ("linear_9",), (16, 24), ("nearest", "pixel_shuffle"), (3, 7), KINDS[-1:]
    )
    by_width = [flops(space, changed(space, genotypes(space, 1)[0], decoder_channels=width)) for width in (120, 128)]
    assert by_width[0] > by_width[1]
    low, high = space.attainable
    for cap in np.linspace(low, high, 15):
        assert max(flops(space, genotype) for genotype in genotypes(space, 30, max_gflops=cap)) <= round(cap * 1e9)


# --- Extremes, mutation, crossover ---


def test_the_extremes_have_the_extreme_sizes_and_any_kind():
    rng = np.random.default_rng(0)
    for end, make in ((-1, ELASTIC.largest), (0, ELASTIC.smallest)):
        found = [ELASTIC.named(make(rng)) for _ in range(200)]
        for choice in ELASTIC.choices:
            seen = {genes[choice.name] for genes in found}
            sizes = choice.ordered and choice.name != "bottleneck"
            assert seen == ({choice.values[end]} if sizes else set(choice.values)), choice.name
    assert set(CHOICE.largest(rng).values) == {"conv7"}
    assert set(CHOICE.smallest(rng).values) == {"skip"}


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_mutation_draws_each_gene_anew_with_its_probability(probability):
    space, rng = ChoiceSpace(), np.random.default_rng(0)
    start = Genotype(("conv3",) * 16)
    found = [space.mutate(start, rng, probability) for _ in range(2000)]
    values = Counter(value for genotype in found for value in genotype.values)
    genes = 2000 * 16
    expected = [genes * (1 - 0.75 * probability), *[genes * probability / 4] * 3]
    assert chisquare([values[kind] for kind in ("conv3", "skip", "conv5", "conv7")], expected).pvalue > 1e-3
    per_place = [sum(genotype.values[place] != "conv3" for genotype in found) for place in range(16)]
    assert chisquare(per_place).pvalue > 1e-3
    assert start == Genotype(("conv3",) * 16)


def test_a_child_has_each_gene_of_either_parent():
    rng = np.random.default_rng(0)
    one, other = genotypes(ELASTIC, 2, seed=10)
    children = [ELASTIC.crossover(one, other, rng) for _ in range(1000)]
    differ = [n for n, (a, b) in enumerate(zip(one.values, other.values, strict=True)) if a != b]
    assert len(differ) > 6
    for child in children:
        assert all(v in (a, b) for v, a, b in zip(child.values, one.values, other.values, strict=True))
    counts = [sum(child.values[n] == one.values[n] for child in children) for n in differ]
    assert chisquare([count for n in counts for count in (n, 1000 - n)]).pvalue > 1e-3


def test_paths_are_a_function_of_seed_and_step():
    draws = {(s, t): ROWS["b"].space.sample(path_rng(s, t), 10.0) for s in range(3) for t in range(20)}
    assert len(set(draws.values())) == 60
    assert all(ROWS["b"].space.sample(path_rng(s, t), 10.0) == genotype for (s, t), genotype in draws.items())
