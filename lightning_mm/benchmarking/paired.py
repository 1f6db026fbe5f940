"""What two networks timed in turns say of their ratio: the median of the pairs and an interval without assumptions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """Median ratio of interleaved pairs.

    Attributes:
        median: Median of the pairs' ratios.
        lower: Lower end of its interval.
        upper: Upper end.
        confidence: The interval's own confidence: at least 0.95, or with fewer than six pairs what their range has.
        raw: The ratio of each pair, in order.
    """

    median: float
    lower: float
    upper: float
    confidence: float
    raw: tuple[float, ...]


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Ratio of pairs that were measured one right behind the other.

    The interval of the median is that of order statistics: the k-th lowest and the k-th highest ratio, which hold the
    median between them with the probability of a binomial distribution, whatever the ratios' own.

    Args:
        numerators: At least one value.
        denominators: As many.
    """
    ratios = [above / below for above, below in zip(numerators, denominators, strict=True)]
    number, ordered = len(ratios), sorted(ratios)
    rank, outside = 0, 2.0 * 0.5**number
    while 1.0 - (more := outside + 2.0 * math.comb(number, rank + 1) * 0.5**number) >= CONFIDENCE:
        rank, outside = rank + 1, more
    return Ratio(
        float(np.median(ratios)), ordered[rank], ordered[number - 1 - rank], max(0.0, 1.0 - outside), tuple(ratios)
    )
