"""When a network that was found counts as better than the hand-designed one: a rule that is fixed beforehand.

It dominates where its SSIM is not lower at strictly fewer FLOPs, or higher at no more FLOPs, on seeds that no choice
rests on, and where the subpixel test does not say that it copies its input. Pure statistics, no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import mean, variance

from lightning_mm.reporting.comparison import Difference, difference_by_seed
from lightning_mm.reporting.run import DASH, signed

MIN_SEEDS = 5
"""Of fewer seeds of both networks, nothing is claimed."""

STANDARD_ERRORS = 2.0
DOMINATES, LOST, UNDECIDED = "dominates", "did not win", "undecided"


@dataclass(frozen=True)
class Side:
    """One network of a claim.

    Attributes:
        gflops: The paper's FLOPs in 1e9.
        ssim: SSIM by claim seed.
        subpixel: Mean SSIM over the levels of the subpixel test; ``None`` where it was not made.
        diverged: Claim seeds on which its training diverged.
    """

    gflops: float
    ssim: Mapping[int, float]
    subpixel: float | None = None
    diverged: Sequence[int] = ()


@dataclass(frozen=True)
class Check:
    """One condition.

    Attributes:
        rule: The condition in words.
        measured: What was measured.
        met: Whether it holds; ``None`` where that is not known.
    """

    rule: str
    measured: str
    met: bool | None

    @property
    def word(self) -> str:
        """For a table."""
        return {True: "yes", False: "no", None: "not yet"}[self.met]


@dataclass(frozen=True)
class Claim:
    """What the rule says.

    Attributes:
        difference: SSIM of the network that was found minus that of the hand-designed one; ``None`` without both.
        error: Pooled standard error of that difference.
        quality: The two ways to be better, of which one is enough.
        conditions: What must hold besides.
    """

    difference: Difference | None
    error: float | None
    quality: list[Check] = field(default_factory=list)
    conditions: list[Check] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """``DOMINATES``; ``LOST`` where a condition is measured not to hold; else ``UNDECIDED``."""
        met = [check.met for check in self.conditions]
        ways = [check.met for check in self.quality]
        met.append(True if True in ways else None if None in ways or not ways else False)
        return LOST if False in met else UNDECIDED if None in met else DOMINATES

    @property
    def reasons(self) -> list[str]:
        """What was measured wherever the rule is not met; empty where the network dominates."""
        if self.outcome == DOMINATES:
            return []
        wanted = False if self.outcome == LOST else None
        checks = [] if any(check.met for check in self.quality) else self.quality
        found = [check.measured for check in [*checks, *self.conditions] if check.met is wanted]
        return list(dict.fromkeys(found))


def judge(found: Side, hand_designed: Side, margin: float, floor: float | None) -> Claim:
    """Apply the rule.

    Args:
        found: The network that was found.
        hand_designed: The network to beat, trained by the same pipeline on the same seeds.
        margin: How far the lower end of the interval may lie below equality for "not lower".
        floor: SSIM of returning frame B in the subpixel test; ``None`` where it was not made.
    """
    common = sorted(set(found.ssim) & set(hand_designed.ssim))
    mine, other = ({seed: side.ssim[seed] for seed in common} for side in (found, hand_designed))
    difference, error = difference_by_seed(mine, other), pooled_error(list(mine.values()), list(other.values()))
    quality = [
        _not_lower(difference, margin, found.gflops, hand_designed.gflops),
        _higher(difference, error, found.gflops, hand_designed.gflops),
    ]
    count = f"{len(common)} seed{'s' * (len(common) != 1)} of both, {MIN_SEEDS} are needed"
    conditions = [Check(f"at least {MIN_SEEDS} claim seeds of both", count, True if len(common) >= MIN_SEEDS else None)]
    lost = ", ".join(map(str, found.diverged))
    conditions.append(
        Check("trains on every claim seed", f"diverged on seed {lost}" if lost else "none diverged", not lost)
    )
    below = None
    if found.subpixel is not None and hand_designed.subpixel is not None:
        below = (found.subpixel, hand_designed.subpixel)
    conditions.append(_subpixel("SSIM in the subpixel test not below the hand-designed network's", below, strict=False))
    copied = None if found.subpixel is None or floor is None else (found.subpixel, floor)
    conditions.append(_subpixel("SSIM in the subpixel test above returning frame B", copied, strict=True))
    return Claim(difference, error, quality, conditions)


def pooled_error(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Standard error of a difference of means by the pooled variance; ``None`` with fewer than two values on a side."""
    if min(len(a), len(b)) < 2:
        return None
    pooled = ((len(a) - 1) * variance(a) + (len(b) - 1) * variance(b)) / (len(a) + len(b) - 2)
    return sqrt(pooled * (1 / len(a) + 1 / len(b)))


def mean_over_levels(rows: Sequence[Mapping[str, object]], method: str) -> float | None:
    """Mean SSIM of a method over the levels of a subpixel test; ``None`` where it is not in it."""
    values = [value for row in rows if row["method"] == method and isinstance(value := row["ssim"], int | float)]
    return mean(values) if values else None


def _not_lower(difference: Difference | None, margin: float, mine: float, other: float) -> Check:
    rule = f"not lower: 95 % interval of the difference above {signed(-margin)}, at fewer FLOPs"
    if mine >= other:
        return Check(rule, f"{mine:.2f} G FLOPs, {'more' if mine > other else 'not fewer'} than {other:.2f} G", False)
    if difference is None or difference.low is None or difference.high is None:
        return Check(rule, DASH if difference is None else f"{signed(difference.value)}, no interval", None)
    told = f"SSIM {signed(difference.value)}, interval {signed(difference.low)} to {signed(difference.high)}"
    return Check(rule, f"{told}, at {mine:.2f} G against {other:.2f} G", difference.low > -margin)


def _higher(difference: Difference | None, error: float | None, mine: float, other: float) -> Check:
    rule = f"or higher: difference above {STANDARD_ERRORS:g} pooled standard errors, at no more FLOPs"
    if mine > other:
        return Check(rule, f"{mine:.2f} G FLOPs, more than {other:.2f} G", False)
    if difference is None or error is None:
        return Check(rule, DASH if difference is None else f"{signed(difference.value)}, no standard error", None)
    told = f"SSIM {signed(difference.value)}, {STANDARD_ERRORS:g} standard errors are {STANDARD_ERRORS * error:.4f}"
    return Check(rule, told, difference.value > STANDARD_ERRORS * error)


def _subpixel(rule: str, pair: tuple[float, float] | None, strict: bool) -> Check:
    if pair is None:
        return Check(rule, "subpixel test not made", None)
    mine, other = pair
    told = f"subpixel test: {mine:.4f} against {other:.4f}"
    return Check(rule, told, mine > other if strict else mine >= other)
