"""How well a proxy, such as a short training or inherited weights, ranks networks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.stats import kendalltau

from lightning_mm.errors import InputError

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation, and what chance alone would give.

    Attributes:
        tau: In [-1, 1]; ``None`` where it is undefined: fewer than two networks, or all alike in proxy or truth.
        n: Number of networks.
        standard_error: Standard deviation of tau were there no association; ``None`` where tau is.
        pairs: Number of pairs of networks that differ in truth.
    """

    tau: float | None
    n: int
    standard_error: float | None
    pairs: int


@dataclass(frozen=True)
class RankReport:
    """What is to be known before a proxy is trusted.

    A correlation that the cost alone has as well is worthless, so the same is given for the cost as the proxy.

    Attributes:
        tau: Kendall's tau-b of the proxy.
        sparse: The same over pairs that differ in truth by more than the noise.
        precision: Precision at the top 20 %, in [0, 1].
        regret: Regret at 5, in the unit of the truth.
        cost_tau: Kendall's tau-b of the cost.
        cost_sparse: ``sparse`` of the cost.
        noise: The noise.
        band: Lowest and highest cost of the band; ``None`` where none was asked for.
        band_tau: Kendall's tau-b of the proxy within the band.
        band_cost_tau: Kendall's tau-b of the cost within the band.
    """

    tau: RankCorrelation
    sparse: RankCorrelation
    precision: float | None
    regret: float | None
    cost_tau: RankCorrelation
    cost_sparse: RankCorrelation
    noise: float
    band: tuple[float, float] | None
    band_tau: RankCorrelation | None
    band_cost_tau: RankCorrelation | None

    def accepted(self, at_least: float = 0.6) -> bool:
        """Whether tau reaches a level in [-1, 1] and exceeds that of the cost; an undefined tau of the cost is 0."""
        return self.tau.tau is not None and self.tau.tau >= at_least and self.tau.tau > (self.cost_tau.tau or 0.0)


def kendall_tau(proxy: Values, truth: Values) -> RankCorrelation:
    """Kendall's tau-b.

    Args:
        proxy: A finite value per network, higher where it is expected to be better.
        truth: Finite measured values of the same networks, higher is better.

    Returns:
        The standard error is that of rankings without ties, sqrt(2 (2n + 5) / (9n (n - 1))) (Kendall, 1938).

    Raises:
        InputError: Lengths differ, or a value is not finite: what diverged must be left out knowingly.
    """
    x, y = _arrays(proxy=proxy, truth=truth)
    n = len(x)
    _, counts = np.unique(y, return_counts=True)
    pairs = comb(n, 2) - sum(comb(int(count), 2) for count in counts)
    if n < 2 or _constant(x) or _constant(y):
        return RankCorrelation(None, n, None, pairs)
    tau = float(np.asarray(kendalltau(x, y))[0])
    return RankCorrelation(tau, n, math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))), pairs)


def sparse_tau(proxy: Values, truth: Values, noise: float) -> RankCorrelation:
    """Share of pairs in the right order less the share in the wrong one, where the truth tells the two apart.

    Pairs that differ in truth by no more than the noise are ties, which neither speak for nor against the proxy; a
    proxy that is tied on one of the others counts as neither right nor wrong. (Siems et al., 2020, ignore small
    differences by rounding, which depends on where the bins begin.) Without noise this is Somers' D of proxy given
    truth, which is Kendall's tau where there are no ties.

    Args:
        proxy: As of ``kendall_tau``.
        truth: As of ``kendall_tau``.
        noise: Such as the spread between seeds; finite, >= 0, in the unit of ``truth``.

    Returns:
        The standard error is exact, also with ties: that of all permutations of the networks (Daniels, 1944).

    Raises:
        InputError: As of ``kendall_tau``, or the noise is out of range.
    """
    x, y = _arrays(proxy=proxy, truth=truth)
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(f"noise = {noise}: must be finite and >= 0")
    difference = y[:, None] - y
    a, b = np.sign(x[:, None] - x), np.where(np.abs(difference) > noise, np.sign(difference), 0.0)
    pairs = int(np.count_nonzero(b)) // 2
    if pairs == 0 or _constant(x):
        return RankCorrelation(None, len(x), None, pairs)
    spread = math.sqrt(_permutation_variance(a, b)) / (2 * pairs)
    return RankCorrelation(float((a * b).sum()) / (2 * pairs), len(x), spread, pairs)


def precision_at_top(proxy: Values, truth: Values, share: float = 0.2) -> float | None:
    """Share of the proxy's best networks that are among the truly best.

    Args:
        proxy: As of ``kendall_tau``.
        truth: As of ``kendall_tau``.
        share: Share of all networks that counts as best, in (0, 1]; rounded to whole networks, at least one.

    Returns:
        In [0, 1], chance gives ``share``; ties on the border count in part, which is the mean over all ways to break
        them, so that a constant proxy is worth as much as chance. ``None`` where there are no networks.

    Raises:
        InputError: As of ``kendall_tau``, or the share is out of range.
    """
    x, y = _arrays(proxy=proxy, truth=truth)
    if not 0.0 < share <= 1.0:
        raise InputError(f"share = {share}: must be in (0, 1]")
    if not len(x):
        return None
    k = max(1, round(share * len(x)))
    return float((_top(x, k) * _top(y, k)).sum() / k)


def regret_at_k(proxy: Values, truth: Values, k: int = 5) -> float | None:
    """What is lost when the networks that a proxy puts first are measured and the best of them is taken.

    Args:
        proxy: As of ``kendall_tau``.
        truth: As of ``kendall_tau``.
        k: How many are measured, >= 1; all where there are no more.

    Returns:
        Best truth of all less best truth among the proxy's first ``k``, >= 0; the mean over all ways to break ties of
        the proxy. ``None`` where there are no networks.

    Raises:
        InputError: As of ``kendall_tau``, or ``k`` is out of range.
    """
    x, y = _arrays(proxy=proxy, truth=truth)
    if k < 1:
        raise InputError(f"k = {k}: must be >= 1")
    if not len(x):
        return None
    weights = _top(x, min(k, len(x)))
    tied = np.sort(y[(weights > 0) & (weights < 1)])[::-1]
    sure = float(y[weights == 1].max(initial=-math.inf))
    drawn = round(float(weights[(weights > 0) & (weights < 1)].sum()))
    if drawn == 0:
        return float(y.max()) - sure
    # The best of those drawn is the i-th of the tied ones where that is drawn and none before it.
    ways = comb(len(tied), drawn)
    chances = [comb(len(tied) - 1 - i, drawn - 1) / ways for i in range(len(tied))]
    losses = [float(y.max()) - max(sure, float(value)) for value in tied]
    return sum(chance * loss for chance, loss in zip(chances, losses, strict=True))


def rank_report(
    proxy: Values,
    truth: Values,
    macs: Values,
    noise: float = 0.0,
    band: tuple[float, float] | None = None,
) -> RankReport:
    """All of the above, with the cost as the control.

    Args:
        proxy: As of ``kendall_tau``.
        truth: As of ``kendall_tau``.
        macs: Cost of the same networks, in any unit.
        noise: As of ``sparse_tau``.
        band: Lowest and highest cost of networks that could be used, both included.

    Raises:
        InputError: As of the functions above, or the band is no range.
    """
    x, y, cost = _arrays(proxy=proxy, truth=truth, macs=macs)
    band_tau = band_cost_tau = None
    if band is not None:
        if not band[0] <= band[1]:
            raise InputError(f"band = {band}: must be the lowest and then the highest cost")
        inside = (cost >= band[0]) & (cost <= band[1])
        band_tau, band_cost_tau = (kendall_tau(values[inside], y[inside]) for values in (x, cost))
    return RankReport(
        tau=kendall_tau(x, y),
        sparse=sparse_tau(x, y, noise),
        precision=precision_at_top(x, y),
        regret=regret_at_k(x, y),
        cost_tau=kendall_tau(cost, y),
        cost_sparse=sparse_tau(cost, y, noise),
        noise=noise,
        band=band,
        band_tau=band_tau,
        band_cost_tau=band_cost_tau,
    )


def _arrays(**values: Values) -> list[np.ndarray]:
    found = [np.asarray(value, dtype=float) for value in values.values()]
    lengths = {name: len(value) for name, value in values.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{', '.join(values)}: must be of one length, have {list(lengths.values())} values")
    for name, array in zip(values, found, strict=True):
        if (bad := np.flatnonzero(~np.isfinite(array))).size:
            raise InputError(f"{name}[{bad[0]}] = {array[bad[0]]}: must be finite; leave out networks without a value")
    return found


def _constant(values: np.ndarray) -> bool:
    return len(values) == 0 or bool((values == values[0]).all())


def _top(values: np.ndarray, k: int) -> np.ndarray:
    """How probably each is among the k highest when ties are broken at random."""
    border = np.sort(values)[-k]
    above, tied = values > border, values == border
    return above + tied * ((k - above.sum()) / tied.sum())


def _permutation_variance(a: np.ndarray, b: np.ndarray) -> float:
    """Variance of the sum of a_ij b_p(i)p(j) over all permutations p, for skew-symmetric matrices."""
    n = len(a)
    (a_rows, a_all), (b_rows, b_all) = (((m.sum(1) ** 2).sum(), (m**2).sum()) for m in (a, b))
    crossed = 4 * (a_rows - a_all) * (b_rows - b_all) / (n * (n - 1) * (n - 2)) if n > 2 else 0.0
    return float(crossed + 2 * a_all * b_all / (n * (n - 1)))
