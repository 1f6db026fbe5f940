"""Samplers replayed on a table of measured networks: many seeds of a search for the price of none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.nas.samplers import SAMPLERS, Pool, random
from lightning_mm.nas.table import Measured
from lightning_mm.pareto import COST_MARGIN, Point, hypervolume, pareto_front

_DASH = "\N{EN DASH}"
SHARES = (0.25, 0.5, 0.75)

Measure = Literal["regret", "hypervolume"]


@dataclass(frozen=True, eq=False)
class Replay:
    """One sampler on one table. Arrays are (seeds, evaluations) and hold the state after each evaluation.

    Attributes:
        sampler: Its name.
        pool: What it searched.
        order: Indices of the members evaluated.
        seconds: Sum of what the evaluations took.
        regret: Best SSIM of the pool less the best so far, >= 0; that of the worst member while all have diverged.
        hypervolume: Area in SSIM times 1e9 FLOPs that the members evaluated dominate.
    """

    sampler: str
    pool: Pool
    order: np.ndarray
    seconds: np.ndarray
    regret: np.ndarray
    hypervolume: np.ndarray

    @property
    def seeds(self) -> int:
        """Number of runs."""
        return len(self.order)

    @property
    def evaluations(self) -> int:
        """Number of evaluations of each run."""
        return self.order.shape[1]

    def mean(self, measure: Measure = "regret") -> np.ndarray:
        """Mean over seeds after each evaluation, (evaluations,)."""
        return getattr(self, measure).mean(axis=0)

    def quartiles(self, measure: Measure = "regret") -> np.ndarray:
        """Lower quartile, median and upper quartile over seeds after each evaluation, (3, evaluations)."""
        return np.quantile(getattr(self, measure), (0.25, 0.5, 0.75), axis=0)

    def at_seconds(self, grid: Sequence[float] | np.ndarray, measure: Measure = "regret") -> np.ndarray:
        """State at given times: that after the last evaluation which had ended by then.

        Args:
            grid: Seconds, in any order.
            measure: "regret" or "hypervolume".

        Returns:
            (seeds, len(grid)). Before the first evaluation has ended, the regret of the worst member, or no area.
        """
        values = getattr(self, measure)
        nothing = float(np.nanmax(self.pool.ssim) - np.nanmin(self.pool.ssim)) if measure == "regret" else 0.0
        padded = np.column_stack([np.full(self.seeds, nothing), values])
        ended = [np.searchsorted(row, grid, side="right") for row in self.seconds]
        return np.stack([row[count] for row, count in zip(padded, ended, strict=True)])


def replay(
    rows: Sequence[Measured],
    samplers: Sequence[str] = tuple(SAMPLERS),
    seeds: int = 20,
    evaluations: int | None = None,
    cap: float | None = None,
    reference: Point | None = None,
) -> list[Replay]:
    """Run samplers on a table. They look for the highest SSIM; hypervolume is recorded and not aimed at.

    The best of a table is in part a lucky measurement; regret counts that as well.

    Args:
        rows: Rows at one fidelity. SSIM and seconds are means over their seeds; diverged networks cost their seconds.
        samplers: Names in ``SAMPLERS``.
        seeds: Runs of each sampler, seeds 0 to ``seeds - 1``, >= 1.
        evaluations: Evaluations of each run, >= 1; the whole pool when left out or where that is smaller.
        cap: Highest cost in 1e9 FLOPs; dearer networks are no part of the pool.
        reference: Reference point of the hypervolume: GFLOPs and SSIM. When left out, the lowest SSIM of the pool and a
            little beyond its highest cost.

    Returns:
        In the order of ``samplers``; the same for the same arguments.

    Raises:
        InputError: A sampler is unknown or named twice, a number is out of range, or as of ``Pool.of``.
    """
    for number, name in enumerate(samplers):
        if name not in SAMPLERS or name in samplers[:number]:
            raise InputError(f"samplers = {list(samplers)}: '{name}' must be one of {', '.join(SAMPLERS)}, named once")
    for option, value in (("seeds", seeds), ("evaluations", evaluations)):
        if value is not None and value < 1:
            raise InputError(f"{option} = {value}: must be >= 1")
    pool = Pool.of(rows, cap)
    count = len(pool) if evaluations is None else min(evaluations, len(pool))
    reference = reference or Point(float(pool.gflops.max()) * COST_MARGIN, float(np.nanmin(pool.ssim)))
    return [_replay(name, pool, seeds, count, reference) for name in samplers]


def regret_table(replays: Sequence[Replay], shares: Sequence[float] = SHARES) -> str:
    """Markdown: regret of each sampler after shares of the pool, and how it differs from that of random search.

    Differences are paired by seed; their standard error is over seeds on this one table, and says nothing about others.

    Args:
        replays: Of one pool.
        shares: Shares of the pool, in (0, 1]. Those that were not reached are left out.

    Raises:
        InputError: A share is out of range, or the replays are of different pools or numbers of evaluations.
    """
    if bad := [share for share in shares if not 0.0 < share <= 1.0]:
        raise InputError(f"shares = {list(shares)}: {bad[0]} must be in (0, 1]")
    if len({(item.pool.architectures, item.order.shape) for item in replays}) > 1:
        raise InputError("replays: must be of one pool, with the same seeds and evaluations")
    base = next((item for item in replays if item.sampler == random.__name__), None)
    lines = [
        "| evaluated | sampler | mean regret | median [quartiles] | mean less random's ± standard error |",
        "|---|---|---:|---:|---:|",
    ]
    for share in shares:
        for item in replays:
            step = max(1, round(share * len(item.pool)))
            if step > item.evaluations:
                continue
            low, middle, high = item.quartiles()[:, step - 1]
            told = [f"{share:.0%} ({step})", item.sampler, f"{item.mean()[step - 1]:.4f}"]
            told += [f"{middle:.4f} [{low:.4f}, {high:.4f}]", _against(item, base, step - 1)]
            lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def paired_difference(item: Replay, other: Replay, measure: Measure = "regret") -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds of one replay less another, and its standard error (NaN for one seed), each (evaluations,)."""
    gap = getattr(item, measure) - getattr(other, measure)
    if len(gap) < 2:
        return gap.mean(axis=0), np.full(gap.shape[1], np.nan)
    return gap.mean(axis=0), gap.std(axis=0, ddof=1) / np.sqrt(len(gap))


def _against(item: Replay, base: Replay | None, step: int) -> str:
    if base is None or item is base:
        return _DASH
    gap, error = paired_difference(item, base)
    return f"{gap[step]:+.4f}" + ("" if np.isnan(error[step]) else f" ± {error[step]:.4f}")


def _replay(name: str, pool: Pool, seeds: int, count: int, reference: Point) -> Replay:
    order = np.array([SAMPLERS[name](pool, seed, count) for seed in range(seeds)])
    ssim = pool.ssim[order]
    best = np.maximum.accumulate(np.where(np.isnan(ssim), np.nanmin(pool.ssim), ssim), axis=1)
    area = np.array([_areas(pool, members, reference) for members in order.tolist()])
    return Replay(name, pool, order, np.cumsum(pool.seconds[order], axis=1), np.nanmax(pool.ssim) - best, area)


def _areas(pool: Pool, order: Sequence[int], reference: Point) -> list[float]:
    """Hypervolume after each evaluation."""
    front: list[Point] = []
    areas: list[float] = []
    for index in order:
        points = [*front, Point(float(pool.gflops[index]), float(pool.ssim[index]))]
        front = [points[i] for i in pareto_front(points)]
        areas.append(hypervolume(front, reference))
    return areas
