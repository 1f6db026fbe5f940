"""Where the candidates of a race's arm come from."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from lightning_mm.nas.table import Measured
from lightning_mm.spaces import Genotype, SearchSpace

_ATTEMPTS = 20  # proposals per candidate before one is drawn at random


class Proposer(Protocol):
    """A source of candidates.

    Attributes:
        duplicates: Proposals thrown away because they had been made.
        infeasible: Proposals thrown away because they exceed the cap.
    """

    duplicates: int
    infeasible: int

    def propose(self, count: int) -> list[Genotype]:
        """New candidates; fewer where there are no more."""
        ...

    def learn(self, genotype: Genotype, measured: Measured) -> None:
        """Take note of a measurement at the first rung."""
        ...


class _Distinct:
    """Keeps candidates distinct as networks."""

    def __init__(self, space: SearchSpace, known: Iterable[Genotype]) -> None:
        self.space = space
        self.seen = {space.canonical(genotype) for genotype in known}
        self.duplicates = self.infeasible = 0

    def take(self, genotype: Genotype) -> bool:
        """Whether a candidate is new; it is not any more."""
        canonical = self.space.canonical(genotype)
        if canonical in self.seen:
            self.duplicates += 1
            return False
        self.seen.add(canonical)
        return True

    def learn(self, genotype: Genotype, measured: Measured) -> None:
        """Nothing is learned."""


class RandomProposer(_Distinct):
    """Draws below the cap, at costs that spread.

    Args:
        space: The space.
        max_gflops: The cap.
        known: Networks not to propose.
        seed: Seed.
    """

    def __init__(self, space: SearchSpace, max_gflops: float, known: Iterable[Genotype] = (), seed: int = 0) -> None:
        super().__init__(space, known)
        self.max_gflops, self.rng = max_gflops, np.random.default_rng(seed)

    def propose(self, count: int) -> list[Genotype]:
        """New candidates."""
        found: list[Genotype] = []
        for _ in range(_ATTEMPTS * count):
            if len(found) < count and self.take(genotype := self.space.sample(self.rng, self.max_gflops, spread=True)):
                found.append(genotype)
        return found


class TpeProposer(RandomProposer):
    """Multi-objective TPE (Optuna): SSIM up, GFLOPs down; the cap is a constraint that it sees.

    Arguments as of ``RandomProposer``.
    """

    def __init__(self, space: SearchSpace, max_gflops: float, known: Iterable[Genotype] = (), seed: int = 0) -> None:
        super().__init__(space, max_gflops, known, seed)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=8)
        self.study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self.distributions: dict[str, Any] = {
            choice.name: optuna.distributions.IntDistribution(0, len(choice.values) - 1)
            if choice.ordered
            else optuna.distributions.CategoricalDistribution(choice.values)
            for choice in space.choices
        }

    def propose(self, count: int) -> list[Genotype]:
        """New candidates; where the sampler finds none below the cap in time, random ones."""
        from optuna.trial import TrialState

        found: list[Genotype] = []
        for _ in range(_ATTEMPTS * count):
            if len(found) == count:
                break
            trial = self.study.ask(self.distributions)
            genotype = self._genotype(trial.params)
            if not self.space.admits(genotype, self.max_gflops):
                self.infeasible += 1
                gflops = self.space.flops(genotype) / 1e9
                # Both samplers and fronts look at the violation alone.
                trial.set_constraint("flops", gflops - self.max_gflops)
                self.study.tell(trial, [0.0, gflops])
                continue
            self.study.tell(trial, state=TrialState.FAIL)
            if self.take(genotype):
                found.append(genotype)
        return found + super().propose(count - len(found))

    def learn(self, genotype: Genotype, measured: Measured) -> None:
        """Tell the sampler; a diverged training is a failed trial."""
        import optuna

        if measured.ssim is None:
            return
        trial = optuna.trial.create_trial(
            params=self._params(genotype),
            distributions=self.distributions,
            values=[measured.ssim, measured.gflops],
            constraints={"flops": measured.gflops - self.max_gflops},
        )
        self.study.add_trial(trial)

    def _genotype(self, params: dict[str, Any]) -> Genotype:
        return Genotype(tuple(c.values[params[c.name]] if c.ordered else params[c.name] for c in self.space.choices))

    def _params(self, genotype: Genotype) -> dict[str, Any]:
        named = self.space.named(genotype)
        return {c.name: c.values.index(named[c.name]) if c.ordered else named[c.name] for c in self.space.choices}


class ListProposer(_Distinct):
    """Hands on a list, such as the best of a supernet, in its order.

    Args:
        space: The space.
        candidates: The list.
        known: Networks not to propose.
    """

    def __init__(self, space: SearchSpace, candidates: list[Genotype], known: Iterable[Genotype] = ()) -> None:
        super().__init__(space, known)
        self.candidates = iter(candidates)

    def propose(self, count: int) -> list[Genotype]:
        """The next of the list."""
        found: list[Genotype] = []
        while len(found) < count and (genotype := next(self.candidates, None)) is not None:
            if self.take(genotype):
                found.append(genotype)
        return found
