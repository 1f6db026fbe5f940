"""Samplers over a pool of measured networks, to be replayed.

What a sampler proposes is mapped to the nearest member that it has not evaluated, so nothing is evaluated twice. All
of them begin with the same random members for the same seed, which makes differences between them smaller than their
spread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.nas.table import Measured, mean_over_seeds

START = 8
"""Random members that every sampler evaluates first."""

Sampler = Callable[["Pool", int, int], list[int]]
"""From a pool, a seed and a number of evaluations (1 to the size of the pool) to the members evaluated, in order."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Networks measured at one fidelity.

    Attributes:
        names: Names of the choices.
        values: Values of each choice that occur, integers in increasing order and then texts.
        members: For each network the indices of its values, (networks, choices).
        architectures: Digests.
        ssim: Mean SSIM over seeds; NaN where all diverged, which is known only once they are evaluated.
        gflops: Cost in 1e9 FLOPs.
        seconds: What the evaluation takes.
    """

    names: tuple[str, ...]
    values: tuple[tuple[int | str, ...], ...]
    members: np.ndarray
    architectures: tuple[str, ...]
    ssim: np.ndarray
    gflops: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Measured], cap: float | None = None) -> "Pool":
        """The networks of a table below a cap, which is known of a network before it is evaluated.

        Args:
            rows: Rows at one fidelity; those that are infeasible are left out.
            cap: Highest cost in 1e9 FLOPs.

        Raises:
            InputError: None was trained below the cap, or the rows are of more than one fidelity.
        """
        tried = mean_over_seeds(rows)
        means = [mean for mean in tried if cap is None or mean.gflops <= cap]
        if all(mean.ssim is None for mean in means):
            below = "" if cap is None else f" up to cap = {cap:g} GFLOPs"
            costs = f"; the cheapest takes {min(mean.gflops for mean in tried):g}" if tried and not means else ""
            raise InputError(f"rows: no network was trained{below}, at least one must be{costs}")
        names = tuple(means[0].choices)
        found = ({mean.choices[name] for mean in means} for name in names)
        values = tuple(tuple(sorted(some, key=lambda v: (isinstance(v, str), v))) for some in found)
        members = [[options.index(mean.choices[name]) for name, options in zip(names, values)] for mean in means]  # noqa: B905
        ssim, gflops, seconds = (
            np.array([getattr(mean, field) for mean in means], dtype=float) for field in ("ssim", "gflops", "seconds")
        )
        architectures = tuple(mean.architecture for mean in means)
        codes = np.array(members, dtype=int).reshape(len(means), len(names))
        return cls(names, values, codes, architectures, ssim, gflops, seconds)

    def __len__(self) -> int:
        """Number of networks."""
        return len(self.architectures)

    @property
    def ordered(self) -> np.ndarray:
        """Of each choice, whether its values are sizes."""
        return np.array([all(isinstance(value, int) for value in options) for options in self.values], dtype=bool)

    def nearest(self, proposal: Sequence[int] | np.ndarray, evaluated: Sequence[int], rng: np.random.Generator) -> int:
        """The member nearest to a proposal of those not evaluated.

        It is the one that differs in the fewest choices, of these the one whose sizes are fewest steps away as a share
        of their range, and of these any.

        Args:
            proposal: Index of a value of each choice.
            evaluated: Members evaluated; not all of them.
            rng: Breaks ties.
        """
        steps = np.abs(self.members - np.asarray(proposal, dtype=int))
        spans = np.array([max(1, len(options) - 1) for options in self.values])
        # Shares sum to the number of choices at most, so that all of them together weigh less than one choice.
        apart = (steps * self.ordered / spans).sum(axis=1) / (len(self.names) + 1)
        distance = np.round((steps > 0).sum(axis=1) + apart, 9)
        distance[list(evaluated)] = np.inf
        return int(rng.choice(np.flatnonzero(distance == distance.min())))


def random(pool: Pool, seed: int, evaluations: int) -> list[int]:
    """Members in random order."""
    return np.random.default_rng(seed).permutation(len(pool))[:evaluations].tolist()


def evolution(pool: Pool, seed: int, evaluations: int, parents: int = 8) -> list[int]:
    """Evolution of one child at a time, (mu + 1).

    The child's parents are among the best so far; with a probability of one half it is crossed from two, else mutated
    from one, each choice drawn anew with a probability of 1 / choices, but at least 0.1.

    Args:
        pool: The pool.
        seed: Seed.
        evaluations: Number of evaluations.
        parents: mu, >= 1.
    """
    order, rng = random(pool, seed, min(START, evaluations)), np.random.default_rng([seed, 1])
    counts = np.array([len(options) for options in pool.values], dtype=int)
    while len(order) < evaluations:
        trained = [index for index in order if not np.isnan(pool.ssim[index])]
        best = sorted(trained, key=lambda index: -pool.ssim[index])[:parents] or order
        one, other = pool.members[rng.choice(best, size=2)]
        fresh = other if rng.random() < 0.5 else rng.integers(counts)
        share = 0.5 if fresh is other else max(0.1, 1 / max(1, len(counts)))
        child = np.where(rng.random(len(counts)) < share, fresh, one)
        order.append(pool.nearest(child, order, rng))
    return order


def tpe(pool: Pool, seed: int, evaluations: int) -> list[int]:
    """Tree-structured Parzen estimator (Optuna) of SSIM alone.

    It learns the member that a proposal was mapped to, at the member's own values: a finished trial of these is added
    and the trial that was asked for fails, which the sampler does not learn from. So do networks that diverged.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=START)
    )
    space: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.IntDistribution(0, len(options) - 1)
        if ordered
        else optuna.distributions.CategoricalDistribution(range(len(options)))
        for name, options, ordered in zip(pool.names, pool.values, pool.ordered, strict=True)
    }
    start, rng = random(pool, seed, min(START, evaluations)), np.random.default_rng([seed, 2])
    order: list[int] = []
    while len(order) < evaluations:
        if len(order) < len(start):
            index = start[len(order)]
        else:
            trial = study.ask(space)
            index = pool.nearest([trial.params[name] for name in pool.names], order, rng)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        order.append(index)
        if not np.isnan(pool.ssim[index]):
            params = dict(zip(pool.names, pool.members[index].tolist(), strict=True))
            value = float(pool.ssim[index])
            study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    return order


SAMPLERS: dict[str, Sampler] = {"random": random, "evolution": evolution, "tpe": tpe}
