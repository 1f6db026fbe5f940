"""The evolutionary search on scores that are known beforehand."""

import math
from collections import Counter

import numpy as np
import pytest
from small_spaces import CHOICE, ELASTIC, genotypes

from lightning_mm.errors import InputError
from lightning_mm.nas.evolution import Evolution, EvolutionOptions, evolve
from lightning_mm.spaces import ChoiceSpace, Genotype

SPACE = ChoiceSpace((3, 2, 2), 9, 8)  # 4 ** 16 genotypes
FEW = EvolutionOptions(population=10, generations=4, parents=3, mutations=5, crossovers=5)


def planted(space, seed):
    """A genotype, and the share of another's genes that are its own."""
    (target,) = genotypes(space, 1, seed=1000 + seed)

    def score(genotype):
        return sum(a == b for a, b in zip(genotype.values, target.values, strict=True)) / len(target.values)

    return target, score


def counted(score):
    """A score and a list of what it was asked."""
    asked = []

    def ask(genotype):
        asked.append(genotype)
        return score(genotype)

    return ask, asked


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_optimum_is_found(seed):
    for space in (SPACE, ELASTIC):
        target, score = planted(space, seed)
        found = evolve(space, score, EvolutionOptions(seed=seed))
        assert found.best == target
        assert found.scores[target] == 1.0


def test_it_is_better_than_random_with_as_many_evaluations():
    wins, gains = 0, []
    for seed in range(20):
        _, score = planted(SPACE, seed)
        options = EvolutionOptions(population=20, generations=9, parents=5, mutations=10, crossovers=10, seed=seed)
        found = evolve(SPACE, score, options)
        drawn = dict.fromkeys(genotypes(SPACE, 400, seed=seed))
        drawn = list(drawn)[: len(found.scores)]
        assert len(drawn) == len(found.scores) == 200
        gains.append(found.scores[found.best] - max(map(score, drawn)))
        wins += gains[-1] > 0
    assert wins >= 19
    assert np.mean(gains) > 2 / 16


def test_the_default_numbers_are_1050_evaluations():
    ask, asked = counted(planted(SPACE, 0)[1])
    seen = []
    found = evolve(SPACE, ask, EvolutionOptions(), progress=lambda n, state: seen.append((n, len(state.scores))))
    assert len(asked) == len(set(asked)) == len(found.scores) == 1050
    assert seen == [(n, 50 * (n + 1)) for n in range(21)]
    assert list(found.scores) == asked
    assert [genotype for generation in found.generations for genotype in generation] == asked


@pytest.mark.parametrize("cap", [4.8, 5.2, 6.0])
def test_nothing_above_the_cap_is_evaluated_and_nothing_twice(cap):
    """With a score that pulls beyond it."""
    ask, asked = counted(SPACE.flops)
    found = evolve(SPACE, ask, FEW, cap)
    assert len(asked) == len(set(asked))
    assert max(SPACE.flops(genotype) for genotype in asked) <= cap * 1e9
    assert found.infeasible > 0
    assert SPACE.flops(found.best) > 0.97 * cap * 1e9


class Recording(ChoiceSpace):
    """Notes what each operator makes."""

    def __init__(self, *args):
        super().__init__(*args)
        self.made = []

    def mutate(self, genotype, rng, probability=0.1):
        self.made.append(("mutated", genotype, super().mutate(genotype, rng, probability)))
        return self.made[-1][2]

    def crossover(self, first, second, rng):
        self.made.append(("crossed", (first, second), super().crossover(first, second, rng)))
        return self.made[-1][2]


@pytest.mark.parametrize(
    ("blocks", "cap", "options"),
    [
        (((3, 2, 2), 9, 8), 5.0, EvolutionOptions(12, 6, 4, 4, 6, 0.1, 1)),
        (((1, 0, 0), 2, 8), None, EvolutionOptions(10, 8, 3, 5, 5, 0.2, 2)),
        (((1, 0, 1), 2, 8), 4.6, EvolutionOptions(10, 6, 3, 5, 5, 0.3, 3)),
        (((3, 2, 2), 9, 8), None, EvolutionOptions(12, 5, 4, 0, 12, 0.1, 4)),
        (((3, 2, 2), 9, 8), None, EvolutionOptions(12, 5, 4, 12, 0, 1.0, 5)),
    ],
)
def test_what_is_thrown_away_and_filled_is_counted(blocks, cap, options):
    """Against a second book-keeping, of all that the operators made."""
    space = Recording(*blocks)
    _, score = planted(space, 0)
    best_so_far, snapshots = [], []

    def progress(number, state):
        snapshots.append(len(space.made))
        best_so_far.append(sorted(state.scores, key=state.scores.get, reverse=True)[: options.parents])

    found = evolve(space, score, options, cap, progress)
    duplicates = infeasible = filled = 0
    seen = set(found.generations[0])
    for number, generation in enumerate(found.generations[1:], 1):
        made = space.made[snapshots[number - 1] : snapshots[number]]
        kept = {"mutated": [], "crossed": []}
        for how, parents, child in made:
            assert set(parents if how == "crossed" else [parents]) <= set(best_so_far[number - 1])
            if child in seen:
                duplicates += 1
            elif cap is not None and space.flops(child) > cap * 1e9:
                infeasible += 1
            else:
                seen.add(child)
                kept[how].append(child)
        offspring = [*kept["mutated"], *kept["crossed"]]
        assert generation[: len(offspring)] == offspring
        assert len(kept["mutated"]) <= options.mutations
        assert len(kept["crossed"]) <= options.crossovers
        tries = Counter(how for how, *_ in made)
        for how, wanted in (("mutated", options.mutations), ("crossed", options.crossovers)):
            assert tries[how] <= 10 * wanted
            assert len(kept[how]) == wanted or tries[how] == 10 * wanted
        filled += len(generation) - len(offspring)
        seen |= set(generation)
    assert (found.duplicates, found.infeasible, found.filled) == (duplicates, infeasible, filled)
    assert any((duplicates, infeasible, filled)) or options.mutation_probability == 1.0


def test_the_last_generation_counts_for_the_final_choice():
    """Scores that rise with each evaluation: the best is the very last."""
    asked = []
    found = evolve(SPACE, lambda genotype: asked.append(genotype) or float(len(asked)), FEW)
    assert found.best == asked[-1]
    assert found.best in found.generations[-1]
    assert found.top(3) == asked[:-4:-1]


def test_a_network_without_a_score_ranks_last():
    _, score = planted(SPACE, 0)
    ask, asked = counted(lambda genotype: math.nan if genotype.values[0] == "conv3" else score(genotype) - 10.0)
    found = evolve(SPACE, ask, FEW)
    ranked = found.top(len(asked))
    without = [math.isnan(found.scores[genotype]) for genotype in ranked]
    assert 0 < sum(without) < len(asked)
    assert without == sorted(without)
    finite = [found.scores[genotype] for genotype in ranked if not math.isnan(found.scores[genotype])]
    assert finite == sorted(finite, reverse=True)
    nothing = evolve(SPACE, lambda genotype: math.nan, FEW)
    assert len(nothing.scores) == 50
    assert nothing.best == nothing.generations[0][0]


def test_equals_rank_in_the_order_of_evaluation():
    state = Evolution(scores={Genotype((n,)): value for n, value in enumerate((0.5, 0.7, math.nan, 0.7, -math.inf))})
    assert [genotype.values[0] for genotype in state.top(5)] == [1, 3, 0, 2, 4]
    assert state.top(2) == [Genotype((1,)), Genotype((3,))]


@pytest.mark.parametrize("cap", [None, 4.6])
def test_an_exhausted_space_ends_the_search(cap):
    space = ChoiceSpace((0, 0, 0), 2, 8)
    ask, asked = counted(planted(space, 0)[1])
    found = evolve(space, ask, EvolutionOptions(), cap)
    feasible = {genotype for genotype in genotypes(space, 2000) if space.admits(genotype, cap)}
    assert set(asked) == feasible
    assert len(asked) == len(feasible) <= 16
    assert len(found.generations) == 21
    assert sum(map(len, found.generations)) == len(feasible)


def test_a_search_is_a_function_of_its_seed():
    _, score = planted(SPACE, 0)
    runs = [evolve(SPACE, score, EvolutionOptions(10, 4, 3, 5, 5, seed=seed), 6.0) for seed in (1, 1, 2)]
    assert list(runs[0].scores.items()) == list(runs[1].scores.items())
    assert runs[0].generations == runs[1].generations
    assert (runs[0].duplicates, runs[0].infeasible, runs[0].filled) == (
        runs[1].duplicates,
        runs[1].infeasible,
        runs[1].filled,
    )
    assert not set(runs[0].generations[0]) & set(runs[2].generations[0])


def test_networks_to_start_from_are_in_the_first_generation_if_the_cap_admits_them():
    rng = np.random.default_rng(0)
    cheap, dear = SPACE.smallest(rng), SPACE.largest(rng)
    found = evolve(SPACE, lambda genotype: 0.0, FEW, 6.0, start=(cheap, dear, cheap))
    assert found.generations[0][0] == cheap
    assert dear not in found.scores
    assert [len(generation) for generation in found.generations] == [10] * 5


def test_a_cap_that_nothing_meets_is_refused_before_anything_is_evaluated():
    ask, asked = counted(lambda genotype: 0.0)
    with pytest.raises(InputError, match="this space attains"):
        evolve(CHOICE, ask, FEW, 0.0)
    assert asked == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"population": 0}, "EvolutionOptions.population = 0: must be >= 1"),
        ({"parents": 0}, "EvolutionOptions.parents = 0: must be >= 1"),
        ({"generations": -1}, "EvolutionOptions.generations = -1: must be >= 0"),
        ({"mutations": -1}, "EvolutionOptions.mutations = -1: must be >= 0"),
        ({"population": 49}, "EvolutionOptions: mutations + crossovers = 25 + 25: must be <= population"),
        ({"mutation_probability": 0.0}, "EvolutionOptions.mutation_probability = 0.0: must be in (0, 1]"),
        ({"mutation_probability": math.nan}, "EvolutionOptions.mutation_probability = nan"),
    ],
)
def test_numbers_that_make_no_search_are_refused(values, message):
    with pytest.raises(ValueError, match=r"^EvolutionOptions") as caught:
        EvolutionOptions(**values)
    assert message in str(caught.value)
