"""One axis of the parallel coordinates: where each run crosses it, and its ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_LEVELS = 8
"""A numeric axis with more distinct values than this is drawn to scale instead of one tick per value."""


@dataclass(frozen=True)
class Axis:
    """One vertical axis, 0 at the bottom and 1 at the top.

    Attributes:
        name: Header.
        positions: Where each run crosses it; ``None`` for a run without a value.
        ticks: (position, label) from bottom to top.
    """

    name: str
    positions: list[float | None]
    ticks: list[tuple[float, str]]


def axis_of(name: str, values: Sequence[Any], continuous: bool = False) -> Axis:
    """Lay out an axis.

    Args:
        name: Header.
        values: One per run; ``None`` where a run has none. Runs are taken to be in order of quality: those that share a
            value are fanned out a little in that order, so that their lines stay visible beside one another.
        continuous: Draw to scale however few the values.

    Returns:
        The axis: to scale for many different numbers (logarithmic over more than a factor of 50), else one evenly
        spaced tick per value, numbers in order and words alphabetically.
    """
    present = [value for value in values if value is not None]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in present)
    if present and numeric and (continuous or len(set(present)) > MAX_LEVELS):
        return _scaled(name, values, min(present), max(present))
    levels = sorted({_key(value) for value in present})
    step = 1 / max(1, len(levels) - 1)
    spots = {level: i * step if len(levels) > 1 else 0.5 for i, level in enumerate(levels)}
    ranks: dict[Any, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None:
            ranks.setdefault(_key(value), []).append(row)
    positions: list[float | None] = [None] * len(values)
    for level, rows in ranks.items():
        width = min(0.12, 0.014 * (len(rows) - 1), 0.5 * step)
        for rank, row in enumerate(rows):
            positions[row] = spots[level] + width * (0.5 - rank / max(1, len(rows) - 1))
    return Axis(name, positions, [(spot, level[2]) for level, spot in spots.items()])


def _key(value: Any) -> tuple[int, float, str]:
    """Sortable across types: numbers by size before everything else by name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, float(value), f"{value:g}")
    return (1, 0.0, str(value))


def _scaled(name: str, values: Sequence[Any], low: float, high: float) -> Axis:
    log = low > 0 and high / low > 50
    bottom, top = (math.log10(low), math.log10(high)) if log else (low, high)

    def place(value: float) -> float:
        return 0.5 if top == bottom else ((math.log10(value) if log else value) - bottom) / (top - bottom)

    if top == bottom:
        marks = [low]
    elif log:
        marks = [10.0**e for e in range(math.ceil(bottom), math.floor(top) + 1)] or [low, high]
    else:
        marks = _round_numbers(low, high)
    ticks = [(place(mark), f"{mark:.6g}") for mark in marks]
    return Axis(name, [None if value is None else place(value) for value in values], ticks)


def _round_numbers(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range: 3 to 8 of them."""
    rough = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
