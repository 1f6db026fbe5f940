import math
import random

import pytest

from lightning_mm.pareto import Point, dominates, pareto_front


def brute_force_front(points):
    return {i for i, p in enumerate(points) if p.known and not any(dominates(q, p) for q in points)}


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_front_equals_brute_force_also_with_ties_and_unknowns(seed, levels):
    rng = random.Random(seed)
    values = [None, math.nan]
    points = [
        Point(
            rng.choice(values) if rng.random() < 0.05 else rng.randrange(levels),
            rng.choice(values) if rng.random() < 0.05 else rng.randrange(levels),
        )
        for _ in range(rng.randrange(40))
    ]
    front = pareto_front(points)
    assert set(front) == brute_force_front(points)
    assert len(front) == len(set(front))
    assert [points[i].cost for i in front] == sorted(points[i].cost for i in front)


def test_equal_points_are_both_on_the_front():
    points = [Point(2.0, 0.9), Point(1.0, 0.8), Point(2.0, 0.9), Point(3.0, 0.9)]
    assert pareto_front(points) == [1, 0, 2]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Point(1, 0.9), Point(2, 0.9), True),
        (Point(1, 0.9), Point(1, 0.8), True),
        (Point(1, 0.9), Point(1, 0.9), False),
        (Point(1, 0.8), Point(2, 0.9), False),
        (Point(1, None), Point(2, 0.9), False),
        (Point(1, 0.9), Point(2, None), False),
        (Point(1, math.nan), Point(2, 0.9), False),
        (Point(1, 0.9), Point(2, -math.inf), True),
    ],
)
def test_dominates(a, b, expected):
    assert dominates(a, b) is expected


def test_no_points_and_no_known_points():
    assert pareto_front([]) == []
    assert pareto_front([Point(None, 0.9), Point(1.0, math.nan)]) == []


def test_minus_infinity_is_a_quality():
    assert pareto_front([Point(1.0, -math.inf)]) == [0]
