"""Pareto front of a cost to be kept low against a quality to be kept high."""

import math
from collections.abc import Sequence
from typing import NamedTuple

COST_MARGIN = 1.1
"""The hypervolume's reference point lies at this times the highest cost, so that the dearest model counts as well."""


class Point(NamedTuple):
    """One model in the plane of cost and quality.

    Attributes:
        cost: Lower is better, for example FLOPs; ``None`` or NaN where unknown.
        quality: Higher is better, for example SSIM; ``None`` or NaN where unknown.
    """

    cost: float | None
    quality: float | None

    @property
    def known(self) -> bool:
        """Whether both coordinates are numbers; an infinite one is."""
        return not any(value is None or math.isnan(value) for value in self)


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is no worse than ``b`` in both coordinates and better in at least one.

    A point with an unknown coordinate neither dominates nor is dominated, and a point does not dominate its equal.
    """
    if a.cost is None or a.quality is None or b.cost is None or b.quality is None or not (a.known and b.known):
        return False
    no_worse = a.cost <= b.cost and a.quality >= b.quality
    return no_worse and (a.cost < b.cost or a.quality > b.quality)


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other point dominates.

    Args:
        points: In any order. Points with an unknown coordinate are never on the front; all copies of a front point are.

    Returns:
        Indices into ``points``, cheapest first, equal points in their order of input. O(n log n).
    """
    known = [i for i, point in enumerate(points) if point.known]
    order = sorted(known, key=lambda i: (points[i].cost, -(points[i].quality or 0.0), i))
    front: list[int] = []
    best = -math.inf
    for i in order:
        quality = points[i].quality
        assert quality is not None
        if not front or quality > best or points[i] == points[front[-1]]:
            front.append(i)
            best = quality
    return front


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Area that points dominate up to a reference point: cost low, quality high.

    Args:
        points: In any order; those that are not better than the reference in both coordinates add nothing.
        reference: A cost and a quality that are worse than those of interest.
    """
    front = [points[i] for i in pareto_front(points)]  # cheapest first, each of a higher quality than the one before
    area, covered = 0.0, _known(reference.quality)
    for cost, quality in front:
        width, height = _known(reference.cost) - _known(cost), _known(quality) - covered
        if width > 0 and height > 0:
            area += width * height
            covered += height
    return area


def _known(value: float | None) -> float:
    assert value is not None
    return value
