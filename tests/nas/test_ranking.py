"""Rank statistics against scipy, brute force, permutations and planted orders."""

import itertools
import math
from statistics import mean

import numpy as np
import pytest
from scipy.stats import kendalltau, somersd

from lightning_mm.errors import InputError
from lightning_mm.nas.ranking import kendall_tau, precision_at_top, rank_report, regret_at_k, sparse_tau

TRUTH = [0.1, 0.4, 0.2, 0.9, 0.5, 0.3, 0.8, 0.6, 0.7, 0.0]


def signs(values, noise=0.0):
    return [0 if abs(a - b) <= noise else math.copysign(1, a - b) for a, b in itertools.combinations(values, 2)]


def tau_by_counting(x, y):
    a, b = signs(x), signs(y)
    score = sum(s * t for s, t in zip(a, b, strict=True))
    return score / math.sqrt(sum(s != 0 for s in a) * sum(t != 0 for t in b))


def sparse_by_counting(x, y, noise):
    told = [(s, t) for s, t in zip(signs(x), signs(y, noise), strict=True) if t]
    return sum(s * t for s, t in told) / len(told)


@pytest.mark.parametrize("seed", range(5))
def test_taus_are_what_counting_pairs_gives(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(6, size=15).astype(float), rng.integers(9, size=15) + 0.0
    found = kendall_tau(x, y)
    assert found.tau == pytest.approx(tau_by_counting(x, y), abs=1e-12)
    assert found.tau == pytest.approx(kendalltau(x, y).statistic)
    assert (found.n, found.pairs) == (15, sum(t != 0 for t in signs(y)))
    for noise in (0.0, 1.0, 2.5):
        assert sparse_tau(x, y, noise).tau == pytest.approx(sparse_by_counting(x, y, noise), abs=1e-12)
    assert sparse_tau(x, y, 0.0).tau == pytest.approx(somersd(y, x).statistic)


@pytest.mark.parametrize(("n", "error"), [(2, 1.0), (13, 0.21), (20, 0.16), (24, 0.146), (30, 0.13), (50, 0.098)])
def test_standard_error_of_the_textbook(n, error):
    assert kendall_tau(range(n), range(n)).standard_error == pytest.approx(error, abs=0.005)
    assert sparse_tau(range(n), range(n), 0.0).standard_error == pytest.approx(
        kendall_tau(range(n), range(n)).standard_error
    )


def test_standard_error_is_the_spread_over_permutations():
    rng = np.random.default_rng(0)
    x = np.arange(20.0)
    spread = np.std([kendall_tau(x, rng.permutation(x)).tau for _ in range(500)])
    assert kendall_tau(x, x).standard_error == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("x", [[1, 2, 3, 4, 5, 6], [1, 1, 2, 2, 2, 3]])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_sparse_standard_error_is_exact_over_all_permutations(x, noise):
    y = [0.0, 1.0, 1.2, 3.0, 5.0, 5.0]
    taus = [sparse_by_counting(p, y, noise) for p in itertools.permutations(x)]
    assert mean(taus) == pytest.approx(0, abs=1e-12)
    assert sparse_tau(x, y, noise).standard_error == pytest.approx(np.std(taus))


def test_perfect_inverse_and_independent_proxies():
    cost = list(range(10))
    perfect = rank_report(TRUTH, TRUTH, cost)
    assert perfect.tau.tau == pytest.approx(1.0)
    assert (perfect.sparse.tau, perfect.precision, perfect.regret) == (1.0, 1.0, 0.0)
    assert perfect.accepted()
    inverse = rank_report([-t for t in TRUTH], TRUTH, cost)
    assert (inverse.tau.tau, inverse.precision) == (pytest.approx(-1.0), 0.0)
    assert inverse.regret == pytest.approx(0.5)  # 0.9 is the best, 0.4 that of the five worst
    assert not inverse.accepted(at_least=-1.0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 400))
    found = kendall_tau(x, y)
    assert abs(found.tau) < 3 * found.standard_error < 0.11


def test_pairs_within_the_noise_speak_neither_for_nor_against():
    truth, proxy = [0.50, 0.51, 0.70, 0.71], [2, 1, 4, 3]
    assert kendall_tau(proxy, truth).tau == pytest.approx(1 / 3)
    found = sparse_tau(proxy, truth, 0.05)
    assert (found.tau, found.pairs) == (1.0, 4)


def test_a_proxy_that_only_knows_the_cost_is_not_accepted():
    truth = list(range(30))
    report = rank_report(truth, truth, truth)
    assert report.tau.tau == report.cost_tau.tau == pytest.approx(report.cost_sparse.tau)
    assert not report.accepted()
    assert not rank_report(truth, truth, [1.0] * 30).accepted(at_least=1.01)
    assert rank_report(truth, truth, [1.0] * 30).accepted()  # an undefined tau of the cost is 0


def test_within_a_band_of_costs():
    cost = [1.0, 2.0, 3.0, 10.0, 11.0]
    report = rank_report([3.0, 2.0, 1.0, 9.0, 8.0], [1.0, 2.0, 3.0, 9.0, 8.0], cost, band=(1.0, 3.0))
    assert (report.band_tau.tau, report.band_tau.n, report.band_cost_tau.tau) == (
        pytest.approx(-1.0),
        3,
        pytest.approx(1.0),
    )
    assert report.tau.tau > 0
    assert rank_report(TRUTH, TRUTH, TRUTH).band_tau is None


def tops(values, k):
    """Every set of k that are nowhere below the rest."""
    every = set(range(len(values)))
    for some in map(set, itertools.combinations(every, k)):
        if min(values[i] for i in some) >= max((values[i] for i in every - some), default=-math.inf):
            yield some


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
def test_ties_are_the_mean_over_all_ways_to_break_them(k):
    x, y = [1, 1, 2, 0, 2, 1, 0], [3.0, 9.0, 4.0, 7.0, 1.0, 5.0, 9.0]
    assert regret_at_k(x, y, k) == pytest.approx(mean(max(y) - max(y[i] for i in first) for first in tops(x, k)))
    shares = [len(first & best) / k for first in tops(x, k) for best in tops(y, k)]
    assert precision_at_top(x, y, k / 7) == pytest.approx(mean(shares))


def test_precision_and_regret_by_hand():
    x, y = [5, 4, 3, 2, 1, 0, -1, -2, -3, -4], [5, 0.5, 0.4, 0.3, 0.2, 9, 8, 7, 6, 1]
    assert precision_at_top(x, y, 0.2) == 0.0
    assert precision_at_top(x, y, 0.5) == 0.2
    assert precision_at_top(x, y, 0.01) == 0.0  # of one network
    assert regret_at_k(x, y, 1) == 4.0
    assert regret_at_k(x, y, 100) == 0.0


def test_constant_proxy_is_worth_chance_and_has_no_tau():
    report = rank_report([1.0] * 10, TRUTH, range(10))
    assert (report.tau.tau, report.tau.standard_error, report.sparse.tau) == (None, None, None)
    assert report.precision == pytest.approx(0.2)
    assert not report.accepted()
    assert kendall_tau(TRUTH, [1.0] * 10).tau is None
    assert sparse_tau(TRUTH, TRUTH, 5.0).tau is None  # nothing in it is beyond the noise


def test_too_few_networks():
    empty, one = rank_report([], [], [], band=(0, 1)), rank_report([1.0], [2.0], [3.0])
    assert (empty.tau.n, empty.tau.tau, empty.precision, empty.regret, empty.band_tau.n) == (0, None, None, None, 0)
    assert (one.tau.n, one.tau.tau, one.sparse.tau, one.precision, one.regret) == (1, None, None, 1.0, 0.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rank_report([1, 2], [1], [1, 2]), "proxy, truth, macs: must be of one length, have [2, 1, 2]"),
        (lambda: kendall_tau([1, math.nan], [1, 2]), "proxy[1] = nan: must be finite"),
        (lambda: regret_at_k([1, 2], [math.inf, 2]), "truth[0] = inf: must be finite"),
        (lambda: rank_report([1, 2], [1, 2], [1, math.nan]), "macs[1] = nan: must be finite"),
        (lambda: kendall_tau([1, None], [1, 2]), "proxy[1] = nan: must be finite"),
        (lambda: sparse_tau([1], [1], -0.1), "noise = -0.1: must be finite and >= 0"),
        (lambda: sparse_tau([1], [1], math.nan), "noise = nan: must be finite and >= 0"),
        (lambda: precision_at_top([1], [1], 0.0), "share = 0.0: must be in (0, 1]"),
        (lambda: precision_at_top([1], [1], 1.5), "share = 1.5: must be in (0, 1]"),
        (lambda: regret_at_k([1], [1], 0), "k = 0: must be >= 1"),
        (lambda: rank_report([1], [1], [1], band=(2, 1)), "band = (2, 1): must be the lowest and then the highest"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert said in str(caught.value)
