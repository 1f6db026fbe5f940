"""The evolutionary search of single-path one-shot NAS (Guo et al., 2020), over any space and any score."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lightning_mm.spaces import Genotype, SearchSpace

_ATTEMPTS = 10  # per wanted offspring, as in the released code of Guo et al.


@dataclass(frozen=True)
class EvolutionOptions:
    """Numbers of the search; the defaults are those of Guo et al. (2020).

    Args:
        population: Networks per generation.
        generations: Generations after the first, random one.
        parents: The best of all networks so far that offspring come from.
        mutations: Offspring per generation that are mutated from one parent.
        crossovers: Offspring per generation that are crossed from two.
        mutation_probability: Probability that a gene is drawn anew.
        seed: Seed of the search.
    """

    population: int = 50
    generations: int = 20
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    mutation_probability: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that do not make a search."""
        for name in ("population", "parents"):
            if getattr(self, name) < 1:
                raise ValueError(f"EvolutionOptions.{name} = {getattr(self, name)}: must be >= 1")
        for name in ("generations", "mutations", "crossovers"):
            if getattr(self, name) < 0:
                raise ValueError(f"EvolutionOptions.{name} = {getattr(self, name)}: must be >= 0")
        if self.mutations + self.crossovers > self.population:
            both = f"{self.mutations} + {self.crossovers}"
            raise ValueError(f"EvolutionOptions: mutations + crossovers = {both}: must be <= population")
        if not 0.0 < self.mutation_probability <= 1.0:
            given = self.mutation_probability
            raise ValueError(f"EvolutionOptions.mutation_probability = {given}: must be in (0, 1]")


@dataclass
class Evolution:
    """What a search has seen.

    Attributes:
        scores: Score of each network, in the order of evaluation; NaN where there is none.
        generations: Networks of each generation.
        duplicates: Offspring thrown away because they had been evaluated.
        infeasible: Offspring thrown away because they exceed the cap.
        filled: Networks drawn at random where offspring were wanting.
    """

    scores: dict[Genotype, float] = field(default_factory=dict)
    generations: list[list[Genotype]] = field(default_factory=list)
    duplicates: int = 0
    infeasible: int = 0
    filled: int = 0

    def top(self, count: int) -> list[Genotype]:
        """The best networks so far, best first; those without a score come last."""
        return sorted(self.scores, key=lambda path: -_rank(self.scores[path]))[:count]

    @property
    def best(self) -> Genotype:
        """The best network of all that were evaluated, the last generation included."""
        return self.top(1)[0]


def evolve(
    space: SearchSpace,
    score: Callable[[Genotype], float],
    options: EvolutionOptions,
    max_gflops: float | None = None,
    progress: Callable[[int, Evolution], None] = lambda generation, state: None,
    start: tuple[Genotype, ...] = (),
) -> Evolution:
    """Search by mutation and crossover; what exceeds the cap or was seen before is not evaluated.

    Every loop has an end: an offspring has ten attempts, and where a space is exhausted a generation is smaller.

    Args:
        space: The space.
        score: Quality of a network, higher is better; NaN for one that has none, which ranks last.
        options: Numbers of the search.
        max_gflops: Cap in 1e9 of the paper's FLOPs.
        progress: Called after each generation with its number and the state.
        start: Networks of the first generation beside the random ones.

    Raises:
        InputError: No member meets the cap.
    """
    rng = np.random.default_rng(options.seed)
    state = Evolution()
    first = [path for path in start if space.admits(path, max_gflops)]
    for generation in range(options.generations + 1):
        found = dict.fromkeys(first if generation == 0 else _offspring(space, state, options, max_gflops, rng))
        for _ in range(_ATTEMPTS * options.population):
            if len(found) >= options.population:
                break
            path = space.sample(rng, max_gflops)
            if path not in state.scores and path not in found:
                found[path] = None
                state.filled += generation > 0
        for path in found:
            state.scores[path] = float(score(path))
        state.generations.append(list(found))
        progress(generation, state)
    return state


def _offspring(
    space: SearchSpace,
    state: Evolution,
    options: EvolutionOptions,
    max_gflops: float | None,
    rng: np.random.Generator,
) -> list[Genotype]:
    parents = state.top(options.parents)
    found: dict[Genotype, None] = {}

    def mutated() -> Genotype:
        return space.mutate(parents[int(rng.integers(len(parents)))], rng, options.mutation_probability)

    def crossed() -> Genotype:
        one, other = rng.integers(len(parents), size=2)
        return space.crossover(parents[int(one)], parents[int(other)], rng)

    for make, wanted in ((mutated, options.mutations), (crossed, options.crossovers)):
        target = len(found) + wanted
        for _ in range(_ATTEMPTS * wanted):
            if len(found) >= target:
                break
            path = make()
            if path in state.scores or path in found:
                state.duplicates += 1
            elif not space.admits(path, max_gflops):
                state.infeasible += 1
            else:
                found[path] = None
    return list(found)


def _rank(score: float) -> float:
    return -math.inf if math.isnan(score) else score
