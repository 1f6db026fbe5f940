"""Each model beside the hand-designed one trained on the same budget: differences of mean SSIM with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev, variance
from typing import Any

from scipy.stats import t as student

from lightning_mm.errors import InputError
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import signed
from lightning_mm.reporting.sweep import Sweep

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A difference of means of SSIM.

    Attributes:
        value: The model's mean minus the hand-designed model's; over common seeds where it is paired.
        low: Lower end of the 95 % confidence interval; ``None`` where there is none.
        high: Upper end.
        method: "paired" (t of the differences seed by seed), "Welch" (t of unequal variances) or "none".
        seeds: Number of seeds of the model and of the hand-designed one that it rests on.
    """

    value: float
    low: float | None
    high: float | None
    method: str
    seeds: tuple[int, int]

    @property
    def word(self) -> str | None:
        """What the interval says: "better", "worse" or "not told apart"; ``None`` without one."""
        if self.low is None or self.high is None:
            return None
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not told apart"


@dataclass(frozen=True)
class Comparison:
    """One model beside the hand-designed one.

    Attributes:
        model: The model.
        reference: The hand-designed model on the same budget; ``None`` where there is none.
        difference: Of their SSIM; ``None`` for the hand-designed model itself or where one has no SSIM.
    """

    model: Model
    reference: Model | None
    difference: Difference | None

    @property
    def is_reference(self) -> bool:
        """Whether this is the hand-designed model itself."""
        return self.model is self.reference


def ssim_difference(model: Model, reference: Model) -> Difference | None:
    """Difference of mean SSIM and its 95 % confidence interval, see ``difference_by_seed``."""
    return difference_by_seed(model.by_seed("ssim"), reference.by_seed("ssim"))


def difference_by_seed(mine: Mapping[Any, float], other: Mapping[Any, float]) -> Difference | None:
    """Difference of means and its 95 % confidence interval.

    Paired by seed where at least two seeds are common to both, else Welch's where both have at least two, else without
    an interval.

    Args:
        mine: Seed to value; a seed of ``None`` is never common.
        other: What is subtracted, likewise.

    Returns:
        The difference, or ``None`` where one side is empty.
    """
    if not mine or not other:
        return None
    common = [seed for seed in mine if seed in other and seed is not None]
    if len(common) > 1:
        pairs = [mine[seed] - other[seed] for seed in common]
        return _interval(mean(pairs), stdev(pairs) / sqrt(len(pairs)), len(pairs) - 1, "paired", (len(common),) * 2)
    a, b = list(mine.values()), list(other.values())
    value, counts = mean(a) - mean(b), (len(a), len(b))
    if min(counts) < 2:
        return Difference(value, None, None, "none", counts)
    parts = [variance(a) / len(a), variance(b) / len(b)]
    spread = sum(parts[i] ** 2 / (counts[i] - 1) for i in (0, 1))
    freedom = sum(parts) ** 2 / spread if spread else sum(counts) - 2
    return _interval(value, sqrt(sum(parts)), freedom, "Welch", counts)


def compare(sweep: Sweep) -> list[Comparison]:
    """Every model beside the hand-designed one on its budget.

    Returns:
        Of each group of comparable models the hand-designed one first, then the others by mean SSIM.

    Raises:
        InputError: There is no hand-designed model with an SSIM.
    """
    found = []
    for group in sweep.groups:
        reference = sweep.hand_designed(group[0])
        for model in sorted(group, key=lambda model: model is not reference):
            difference = None if reference in (None, model) else ssim_difference(model, reference)
            found.append(Comparison(model, reference, difference))
    if all(item.reference is None for item in found):
        names = ", ".join(item.model.label for item in found[:6]) + (", ..." if len(found) > 6 else "")
        raise InputError(
            f"--compare: {sweep.directory} holds no hand-designed model to compare with (a run named 'proposed' or of "
            f"its architecture); found {names}"
        )
    return found


def sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """The outcome for each model in plain words."""
    return [_sentence(item) for item in comparisons if not item.is_reference]


def notes(comparisons: Sequence[Comparison]) -> list[str]:
    """How to read the intervals."""
    differences = [item.difference for item in comparisons if item.difference is not None]
    found = [
        "Means ± standard deviation over seeds. The interval is that of the difference of mean SSIM, at 95 % "
        "confidence: paired over the seeds that both have (t of the differences seed by seed), else Welch's."
    ]
    if any(difference.method == "none" for difference in differences):
        found.append(
            "An interval needs at least two seeds of both models; where there is one seed, nothing can be said about "
            "chance, and the difference is a number and no finding."
        )
    intervals = sum(difference.low is not None for difference in differences)
    if intervals > 1:
        found.append(
            f"Each of the {intervals} intervals stands alone: of many models that are equal to the hand-designed one, "
            "1 in 20 will look better or worse by chance."
        )
    if any(item.model.is_trial for item in comparisons):
        found.append(
            "Trials of a search were chosen by the SSIM that is compared here, which favours them; train what was "
            "found anew, on other seeds, to be sure."
        )
    return found


def _interval(value: float, error: float, freedom: float, method: str, seeds: tuple[int, ...]) -> Difference:
    half = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Difference(value, value - half, value + half, method, (seeds[0], seeds[1]))


def _sentence(item: Comparison) -> str:
    label, difference = item.model.label, item.difference
    if item.reference is None:
        return f"{label}: no hand-designed model trained on the same budget, so it is compared with none."
    if difference is None:
        return f"{label}: not compared, as it or {item.reference.label} has no SSIM."
    seeds = _seeds(difference)
    if difference.low is None or difference.high is None:
        return (
            f"{label}: SSIM {signed(difference.value)} against {item.reference.label}, by {seeds}: no interval, which "
            "needs at least two seeds of both."
        )
    interval = f"95 % interval {signed(difference.low)} to {signed(difference.high)}"
    shown = f"({signed(difference.value)}, {interval}; {difference.method})"
    if difference.word == "not told apart":
        return f"{label} and {item.reference.label} are not told apart in SSIM by {seeds} {shown}."
    return f"{label} is {difference.word} in SSIM than {item.reference.label}, by {seeds} {shown}."


def _seeds(difference: Difference) -> str:
    a, b = difference.seeds
    if a == b:
        return "one seed each" if a == 1 else f"{a} seeds each"
    return f"{a} and {b} seeds"
