"""The rule of the claim: its statistics against scipy, each condition by itself."""

import random

import pytest
from scipy import stats

from lightning_mm.reporting.nas.claim import DOMINATES, LOST, UNDECIDED, Side, judge, mean_over_levels, pooled_error

SEEDS = (100, 101, 102, 103, 104)
BASE = (0.950, 0.952, 0.949, 0.951, 0.953)


def side(gflops=2.0, shift=0.0, scores=BASE, subpixel=0.8, diverged=()):
    kept = {seed: ssim + shift for seed, ssim in zip(SEEDS, scores, strict=False) if seed not in diverged}
    return Side(gflops, kept, subpixel, diverged)


def judged(found, hand=None, margin=0.0005, floor=0.6):
    return judge(found, hand or side(), margin, floor)


@pytest.mark.parametrize("seed", range(4))
def test_statistics_are_those_of_scipy(seed):
    rng = random.Random(seed)
    a, b = ([rng.gauss(0.95, 0.003) for _ in SEEDS] for _ in range(2))
    got = judged(side(scores=a), side(scores=b))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert got.difference.method == "paired"
    assert (got.difference.low, got.difference.high) == pytest.approx((expected.low, expected.high))
    pooled = stats.ttest_ind(a, b)
    assert got.difference.value / got.error == pytest.approx(pooled.statistic)


def test_pooled_error_of_unequal_counts_is_that_of_scipy():
    a, b = [0.91, 0.95, 0.94], [0.90, 0.93, 0.92, 0.96]
    assert (sum(a) / 3 - sum(b) / 4) / pooled_error(a, b) == pytest.approx(stats.ttest_ind(a, b).statistic)
    assert pooled_error([0.9], b) is None


def test_equal_quality_at_fewer_flops_dominates():
    got = judged(side(gflops=1.5))
    assert got.outcome == DOMINATES
    assert [check.met for check in got.quality] == [True, False]
    assert got.reasons == []


def test_higher_quality_at_equal_flops_dominates():
    got = judged(side(shift=0.01))
    assert [check.met for check in got.quality] == [False, True]
    assert got.outcome == DOMINATES


def test_equal_quality_at_equal_flops_does_not():
    assert judged(side()).outcome == LOST


def test_more_flops_never_dominate():
    got = judged(side(gflops=2.01, shift=0.04))
    assert got.outcome == LOST
    assert "2.01 G FLOPs, more than 2.00 G" in got.reasons


@pytest.mark.parametrize(("shift", "outcome"), [(-0.0004, DOMINATES), (-0.0006, LOST)])
def test_margin_decides(shift, outcome):
    got = judged(side(gflops=1.0, shift=shift))
    assert got.difference.low == pytest.approx(shift)
    assert got.outcome == outcome


def test_wide_interval_is_not_enough():
    noisy = (0.93, 0.98, 0.94, 0.975, 0.93)
    got = judged(side(gflops=1.0, scores=noisy))
    assert got.difference.value == pytest.approx(0.0, abs=1e-9)
    assert got.outcome == LOST
    assert "interval" in got.reasons[0]


@pytest.mark.parametrize(("subpixel", "floor", "outcome"), [(0.79, 0.6, LOST), (0.8, 0.8, LOST), (0.8, 0.6, DOMINATES)])
def test_subpixel_test_can_contradict(subpixel, floor, outcome):
    got = judged(side(gflops=1.0, subpixel=subpixel), floor=floor)
    assert got.outcome == outcome
    assert all("subpixel" in reason for reason in got.reasons)


def test_without_subpixel_test_nothing_is_decided():
    got = judged(side(gflops=1.0, subpixel=None), floor=None)
    assert got.outcome == UNDECIDED
    assert got.reasons == ["subpixel test not made"]


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_few_seeds_decide_nothing(count):
    got = judged(side(gflops=1.0, shift=0.01, scores=BASE[:count]))
    assert got.outcome == UNDECIDED
    assert any(f"{count} seed" in reason for reason in got.reasons)


def test_divergence_on_a_claim_seed_loses():
    got = judged(side(gflops=1.0, shift=0.01, diverged=(102,)))
    assert got.outcome == LOST
    assert got.reasons == ["diverged on seed 102"]


def test_only_common_seeds_count():
    found = Side(1.0, {**side().ssim, 7: 0.1}, 0.8)
    assert judged(found).difference.value == pytest.approx(0.0)


def test_mean_over_levels():
    rows = [{"method": "a", "ssim": 0.5}, {"method": "b", "ssim": 0.1}, {"method": "a", "ssim": 0.7}]
    assert mean_over_levels(rows, "a") == pytest.approx(0.6)
    assert mean_over_levels(rows, "c") is None
