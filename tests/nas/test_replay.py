"""Samplers on a planted table: nothing twice, the optimum in the end, and better than chance on the way."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from lightning_mm.errors import InputError
from lightning_mm.nas.replay import paired_difference, regret_table, replay
from lightning_mm.nas.samplers import SAMPLERS, START, Pool
from lightning_mm.nas.table import Measured
from lightning_mm.pareto import Point, hypervolume
from lightning_mm.reporting.run import DASH

SEEDS, STEPS = 20, 22


def planted(count=60):
    """A smooth landscape over three choices that matter and one that does not."""
    rng = np.random.default_rng(0)
    grid = list(itertools.product([4, 8, 12, 18], [8, 16, 24, 32], ["plain", "dilated", "deep"], [1, 2, 3]))
    rows = []
    for number in rng.permutation(len(grid))[:count]:
        depth, width, kind, idle = grid[number]
        ssim = 0.5 + 0.1 * depth / 18 + 0.2 * width / 32 + {"plain": 0.0, "dilated": 0.03, "deep": 0.06}[kind]
        ssim += 0.002 * rng.standard_normal()
        choices = {"depth": depth, "width": width, "kind": kind, "idle": idle}
        gflops, seconds = depth * width / 100, float(rng.uniform(1, 3))
        rows.append(Measured(f"n{number}", "x", 4, 0, "trained", float(ssim), 1, gflops, None, seconds, choices))
    return rows


@pytest.fixture(scope="module")
def rows():
    return planted()


@pytest.fixture(scope="module")
def replays(rows):
    return {item.sampler: item for item in replay(rows, seeds=SEEDS, evaluations=STEPS)}


@pytest.mark.parametrize("name", ["evolution", "tpe"])
def test_samplers_that_learn_beat_chance(replays, name):
    gap, error = paired_difference(replays[name], replays["random"])
    assert (gap[:START] == 0).all()  # they begin alike
    assert gap[-1] < -2 * error[-1]
    area, error = paired_difference(replays[name], replays["random"], "hypervolume")
    assert (area[:START] == 0).all()
    assert np.isfinite(area).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_member_once_and_regret_zero_in_the_end(rows, name):
    few = [*rows[:25], replace(rows[30], status="diverged", ssim=None)]
    (item,) = replay(few, [name], seeds=3)
    assert item.evaluations == 26
    assert all(sorted(order) == list(range(26)) for order in item.order.tolist())
    assert (np.diff(item.regret) <= 0).all()
    assert (item.regret[:, -1] == 0).all()
    assert (np.diff(item.hypervolume) >= -1e-12).all()
    assert np.ptp(item.hypervolume[:, -1]) < 1e-12
    assert item.seconds[:, -1] == pytest.approx([sum(row.seconds for row in few)] * 3)
    (again,) = replay(few, [name], seeds=3, evaluations=20)
    assert (again.order == item.order[:, :20]).all()
    assert len({tuple(order) for order in item.order.tolist()}) == 3


def test_records_are_those_of_the_members_evaluated(rows, replays):
    reference = Point(6.0, 0.6)
    (item,) = replay(rows, ["evolution"], seeds=2, evaluations=15, reference=reference)
    for seed, order in enumerate(item.order.tolist()):
        met = [rows[index] for index in order]
        assert item.pool.architectures[order[3]] == met[3].architecture
        for n in (1, 7, 15):
            assert item.regret[seed, n - 1] == max(r.ssim for r in rows) - max(r.ssim for r in met[:n])
            assert item.seconds[seed, n - 1] == pytest.approx(sum(r.seconds for r in met[:n]))
            area = hypervolume([Point(r.gflops, r.ssim) for r in met[:n]], reference)
            assert item.hypervolume[seed, n - 1] == pytest.approx(area)
    low, middle, high = replays["random"].quartiles()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert middle[5] == np.median(replays["random"].regret[:, 5])
    assert replays["random"].mean()[5] == pytest.approx(replays["random"].regret[:, 5].mean())


def test_random_search_has_the_regret_of_chance(rows):
    few = rows[:6]
    (item,) = replay(few, ["random"], seeds=3000, evaluations=2)
    best = max(row.ssim for row in few)
    exact = np.mean([best - max(a.ssim, b.ssim) for a, b in itertools.combinations(few, 2)])
    spread = item.regret[:, 1].std() / np.sqrt(3000)
    assert abs(item.mean()[1] - exact) < 4 * spread


def test_against_seconds(rows):
    slow = [replace(row, seconds=2.0) for row in rows[:5]]
    (item,) = replay(slow, ["random"], seeds=2)
    worst = max(row.ssim for row in slow) - min(row.ssim for row in slow)
    found = item.at_seconds([0.0, 1.9, 2.0, 5.9, 1e9])
    assert (found[:, :2] == worst).all()
    assert (found[:, 2:] == item.regret[:, [0, 1, 4]]).all()
    assert item.at_seconds([1.0, 4.0], "hypervolume").tolist() == [[0.0, area] for area in item.hypervolume[:, 1]]


def test_nearest_differs_in_the_fewest_choices_then_by_the_fewest_steps():
    def row(name, **choices):
        return Measured(name, "x", 1, 0, "trained", 0.5, 1, 1.0, None, 1.0, choices)

    pool = Pool.of(
        [
            row("same", depth=1, width=1, kind="a"),
            row("far", depth=4, width=1, kind="a"),
            row("near", depth=2, width=1, kind="a"),
            row("kind", depth=1, width=1, kind="c"),
            row("two", depth=1, width=2, kind="b"),
            row("rest", depth=3, width=3, kind="b"),
        ]
    )
    assert pool.values == ((1, 2, 3, 4), (1, 2, 3), ("a", "b", "c"))
    assert pool.ordered.tolist() == [True, True, False]
    rng, proposal = np.random.default_rng(0), pool.members[0]
    order = []
    while len(order) < len(pool):
        order.append(pool.nearest(proposal, order, rng))
    # Kinds have no distance, so another kind is as near as the same size; then one step of three, then three.
    assert [pool.architectures[index] for index in order] == ["same", "kind", "near", "far", "two", "rest"]


def test_ties_are_broken_by_chance():
    rows = [Measured(f"n{k}", "x", 1, 0, "trained", 0.5, 1, 1.0, None, 1.0, {"kind": f"k{k}"}) for k in range(5)]
    pool, rng = Pool.of(rows), np.random.default_rng(0)
    assert {pool.nearest([0], [0], rng) for _ in range(60)} == {1, 2, 3, 4}


def test_pool_is_what_was_trained_below_the_cap(rows):
    again = replace(rows[0], seed=1, ssim=rows[0].ssim + 0.1, seconds=rows[0].seconds + 2)
    lost = replace(rows[1], architecture="lost", status="diverged", ssim=None)
    dear = replace(rows[2], architecture="dear", status="infeasible", ssim=None, gflops=0.1)
    pool = Pool.of([*rows[:10], again, lost, dear])
    assert len(pool) == 11
    assert pool.ssim[0] == pytest.approx(rows[0].ssim + 0.05)
    assert pool.seconds[0] == pytest.approx(rows[0].seconds + 1)
    assert np.flatnonzero(np.isnan(pool.ssim)).tolist() == [pool.architectures.index("lost")]
    (item,) = replay(rows, ["random"], seeds=1, cap=2.0)
    below = [row for row in rows if row.gflops <= 2.0]
    assert sorted(item.pool.architectures) == sorted(row.architecture for row in below)
    assert item.regret[0, 0] == max(row.ssim for row in below) - item.pool.ssim[item.order[0, 0]]


@pytest.mark.parametrize("name", SAMPLERS)
def test_pools_of_hardly_anything(rows, name):
    lost = [replace(row, status="diverged", ssim=None) for row in rows[1:12]]
    (item,) = replay([rows[0], *lost], [name], seeds=4)
    assert sorted(item.order[0]) == list(range(12))
    assert (item.regret == 0).all()  # the one network that trained is the best and the worst
    (one,) = replay(rows[:1], [name], seeds=1)
    assert one.order.tolist() == [[0]]
    plain = [replace(row, choices={}) for row in rows[:12]]
    assert sorted(replay(plain, [name], seeds=1)[0].order[0]) == list(range(12))


def test_regret_table(rows, replays):
    text = regret_table(list(replays.values()))
    item, random = replays["tpe"], replays["random"]
    gap = item.regret[:, 14] - random.regret[:, 14]
    low, middle, high = np.quantile(item.regret[:, 14], (0.25, 0.5, 0.75))
    cells = [f"{item.regret[:, 14].mean():.4f}", f"{middle:.4f} [{low:.4f}, {high:.4f}]"]
    line = f"| 25% (15) | tpe | {cells[0]} | {cells[1]} | {gap.mean():+.4f} ± {gap.std(ddof=1) / SEEDS**0.5:.4f} |"
    assert line in text.splitlines()
    assert "50%" not in text  # not reached
    assert len(text.splitlines()) == 2 + len(SAMPLERS)
    assert "±" not in regret_table(replay(rows[:9], ["random", "evolution"], seeds=1)).split("\n", 1)[1]
    assert regret_table([item]).splitlines()[-1].endswith(f"| {DASH} |")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samplers": ["random", "grid"]}, "'grid' must be one of random, evolution, tpe, named once"),
        ({"samplers": ["tpe", "tpe"]}, "'tpe' must be one of"),
        ({"seeds": 0}, "seeds = 0: must be >= 1"),
        ({"evaluations": 0}, "evaluations = 0: must be >= 1"),
        ({"cap": 0.1}, "no network was trained up to cap = 0.1 GFLOPs, at least one must be; the cheapest takes 0.32"),
        ({"rows": []}, "no network was trained, at least one must be"),
        ({"rows": [replace(planted(1)[0], status="diverged", ssim=None)]}, "no network was trained, at least"),
        ({"rows": [planted(2)[0], replace(planted(2)[1], epochs=8)]}, "epochs = [4, 8]: rows must be of one fidelity"),
    ],
)
def test_refusals(rows, options, said):
    with pytest.raises(InputError) as caught:
        replay(**{"rows": rows, **options})
    assert said in str(caught.value)


def test_tables_of_what_is_not_comparable(rows):
    one, other = replay(rows[:9], ["random"], seeds=2) + replay(rows[:8], ["random"], seeds=2)
    with pytest.raises(InputError, match="must be of one pool"):
        regret_table([one, other])
    with pytest.raises(InputError, match=r"shares = \[0.5, 2\]: 2 must be in \(0, 1\]"):
        regret_table([one], [0.5, 2])
