"""What every search space can do: sample below a cap, mutate, cross over, encode, count."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from lightning_mm.cost import CostReport, cost, paper_flops
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.spaces.genotype import Choice, Genotype, Value


def path_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of a training step's paths: the same on every rank, and again when a run is resumed."""
    return np.random.default_rng([seed, step])


def as_flops(max_gflops: float | None) -> float:
    """A cap given in 1e9 of the paper's FLOPs as a whole number of them; infinity for none."""
    return math.inf if max_gflops in (None, math.inf) else round(max_gflops * 1e9)


class SearchSpace(ABC):
    """A finite set of architectures, each a value per choice.

    Subclasses say which network a genotype means (``config``), which genotypes mean the same one (``canonical``), and
    where in a supernet its weights lie (``covers``, ``address``). Costs are the paper's FLOPs at 384 x 384.
    """

    choices: tuple[Choice, ...]
    arguments: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The space as in a configuration: class and arguments, plain types only."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in self.arguments.items()}
        return {"class_path": f"lightning_mm.spaces.{type(self).__name__}", "init_args": plain}

    @abstractmethod
    def config(self, genotype: Genotype) -> MagnifierConfig:
        """The network that a genotype means."""

    @abstractmethod
    def canonical(self, genotype: Genotype) -> Genotype:
        """The one of all genotypes of the same network that stands for them: equal, and of equal hash."""

    @abstractmethod
    def genotype_of(self, config: MagnifierConfig) -> Genotype | None:
        """The canonical genotype of a network, or ``None`` where it is no member."""

    @abstractmethod
    def covers(self) -> list[Genotype]:
        """Members whose weights, taken together, hold those of every member at its largest."""

    @abstractmethod
    def address(self, genotype: Genotype, name: str) -> str:
        """Where a supernet keeps a parameter.

        Args:
            genotype: A member.
            name: Name of a parameter of its ``Magnifier``.

        Returns:
            Name in the supernet. Members that share a weight have the same one for it.
        """

    @property
    def size(self) -> int:
        """Number of genotypes; of networks there are fewer."""
        return math.prod(len(choice.values) for choice in self.choices)

    def cost(self, genotype: Genotype) -> CostReport:
        """Exact cost, known without building anything."""
        return cost(self.config(genotype))

    def flops(self, genotype: Genotype) -> int:
        """The paper's FLOPs."""
        return paper_flops(self.config(genotype))

    def admits(self, genotype: Genotype, max_gflops: float | None) -> bool:
        """Whether a member meets a cap in 1e9 of the paper's FLOPs."""
        return self.flops(genotype) <= as_flops(max_gflops)

    @cached_property
    def attainable(self) -> tuple[float, float]:
        """Lowest and highest cost in 1e9 of the paper's FLOPs."""
        return min(self._cheapest.values()) / 1e9, max(self._ends(-1).values()) / 1e9

    def require(self, genotype: Genotype) -> Genotype:
        """Give back a genotype that is a member.

        Raises:
            InputError: It is none; the message names the gene and what is accepted.
        """
        if len(genotype.values) != len(self.choices):
            raise InputError(f"genotype '{genotype}': has {len(genotype.values)} genes, must have {len(self.choices)}")
        for choice, value in zip(self.choices, genotype.values, strict=True):
            if value not in choice.values:
                raise InputError(f"genotype: {choice.name} = {value!r}: must be one of {list(choice.values)}")
        return genotype

    def require_cap(self, max_gflops: float) -> None:
        """Refuse a cap that no member meets.

        Raises:
            InputError: It is below the cheapest member; the message gives the attainable range.
        """
        low, high = self.attainable
        if not max_gflops >= low:
            raise InputError(f"max_gflops = {max_gflops:g}: this space attains {low:.3f} to {high:.3f} G")

    def sample(self, rng: np.random.Generator, max_gflops: float | None = None, spread: bool = False) -> Genotype:
        """Draw a member, below a cap by construction: there is no rejection, and as many steps as genes.

        The structural genes are drawn among the combinations that can meet the cap, then the others in random order,
        each uniformly among the values that leave enough for the cheapest choice of the rest. Without a cap, or with
        one that does not bind, this is the uniform distribution over genotypes.

        Args:
            rng: Source of randomness.
            max_gflops: Highest cost in 1e9 of the paper's FLOPs.
            spread: Draw the cap itself first, uniformly between the cheapest member and ``max_gflops`` (or the dearest
                member), so that costs spread over the range instead of crowding below the cap.

        Raises:
            InputError: No member meets the cap.
        """
        low, high = self.attainable
        if max_gflops is not None:
            self.require_cap(max_gflops)
        if spread:
            max_gflops = rng.uniform(low, high if max_gflops is None else min(high, max_gflops))
        cap = as_flops(max_gflops)
        able = [genotype for genotype, flops in self._cheapest.items() if flops <= cap]
        genes = list(able[int(rng.integers(len(able)))].values)
        free = [number for number, choice in enumerate(self.choices) if not choice.structural]
        for number in rng.permutation(free):
            values = self.choices[number].values
            if math.isfinite(cap):
                values = [value for value in values if self.flops(Genotype(replaced(genes, number, value))) <= cap]
            genes[number] = values[int(rng.integers(len(values)))]
        return Genotype(tuple(genes))

    def largest(self, rng: np.random.Generator) -> Genotype:
        """A member whose sizes are the largest; its kinds are drawn."""
        return self._extreme(rng, -1)

    def smallest(self, rng: np.random.Generator) -> Genotype:
        """A member whose sizes are the smallest; its kinds are drawn."""
        return self._extreme(rng, 0)

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float = 0.1) -> Genotype:
        """Draw each gene anew, uniformly, with a probability; it may come out as it was (Guo et al., 2020)."""
        redrawn = rng.random(len(self.choices)) < probability
        fresh = self.sample(rng).values
        return Genotype(tuple(new if drawn else old for old, new, drawn in zip(genotype.values, fresh, redrawn)))  # noqa: B905

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        """Take each gene from either parent with a probability of one half."""
        sides = rng.integers(2, size=len(self.choices))
        return Genotype(tuple(pair[side] for pair, side in zip(zip(first.values, second.values), sides)))  # noqa: B905

    def encode(self, genotype: Genotype) -> np.ndarray:
        """A genotype as numbers: sizes as their rank in [0, 1], other genes one-hot."""
        found: list[float] = []
        for choice, value in zip(self.choices, genotype.values, strict=True):
            index = choice.values.index(value)
            if choice.ordered:
                found.append(index / max(1, len(choice.values) - 1))
            else:
                found += [float(number == index) for number in range(len(choice.values))]
        return np.array(found)

    def named(self, genotype: Genotype) -> dict[str, Value]:
        """Genes by name."""
        return {choice.name: value for choice, value in zip(self.choices, genotype.values, strict=True)}

    def _extreme(self, rng: np.random.Generator, end: int) -> Genotype:
        drawn = self.sample(rng).values
        sizes = [choice.ordered and not choice.structural for choice in self.choices]
        values = zip(self.choices, drawn, sizes, strict=True)
        return Genotype(tuple(choice.values[end] if size else value for choice, value, size in values))

    @cached_property
    def _cheapest(self) -> dict[Genotype, int]:
        return self._ends(0)

    def _ends(self, end: int) -> dict[Genotype, int]:
        """For every combination of structural genes the member whose other genes are the first, or last; its FLOPs."""
        values = (choice.values if choice.structural else (choice.values[end],) for choice in self.choices)
        return {genotype: self.flops(genotype) for genotype in map(Genotype, product(*values))}


def replaced(genes: Sequence[Value], number: int, value: Value) -> tuple[Value, ...]:
    """Genes with one of them changed."""
    return (*genes[:number], value, *genes[number + 1 :])
