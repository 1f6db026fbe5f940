"""What a search had found after how much compute: hypervolume of a trade-off study, best SSIM of a budget study."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lightning_mm.pareto import COST_MARGIN, Point, hypervolume
from lightning_mm.reporting.sweep import Sweep, TrialRecord


@dataclass(frozen=True)
class Progress:
    """A value that a search can only raise, against the compute that it took.

    Attributes:
        seconds: Sum of the times of all trials that had ended, in order of their end.
        values: The value then; ``None`` before the first complete trial.
        records: The trial that ended.
        title: What the value is.
        explanation: How it is computed, in sentences.
        untimed: Number of complete trials that are left out because their times are not recorded.
    """

    seconds: list[float]
    values: list[float | None]
    records: list[TrialRecord]
    title: str
    explanation: str
    untimed: int = 0


def progress(sweep: Sweep) -> Progress | None:
    """How far the search had come after each trial.

    Returns:
        ``None`` where fewer than two complete trials with times are recorded.
    """
    timed = [record for record in sweep.searched if record.seconds is not None and record.ended is not None]
    timed.sort(key=lambda record: record.ended.timestamp() if record.ended else 0.0)
    complete = [record for record in timed if record.is_complete]
    if len(complete) < 2:
        return None
    if sweep.is_budget_study:
        measure, title, explanation = _best_ssim()
    elif all(len(record.values) == 2 for record in complete):
        measure, title, explanation = _hypervolume_of(sweep, complete)
    else:
        return None
    seconds, values, spent = [], [], 0.0
    done: list[TrialRecord] = []
    for record in timed:
        spent += record.seconds or 0.0
        done += [record] if record.is_complete else []
        seconds.append(spent)
        values.append(measure(done) if done else None)
    missing = sum(record.is_complete for record in sweep.searched) - len(complete)
    return Progress(seconds, values, timed, title, explanation, missing)


_Measure = Callable[[list[TrialRecord]], float]


def _best_ssim() -> tuple[_Measure, str, str]:
    def best(done: list[TrialRecord]) -> float:
        return max(record.values[0] for record in done)

    return best, "best SSIM so far", "The best SSIM of the trials that were complete by then."


def _hypervolume_of(sweep: Sweep, complete: list[TrialRecord]) -> tuple[_Measure, str, str]:
    cost = COST_MARGIN * max(record.values[1] for record in complete)
    floor, lowest = sweep.floor_ssim, min(record.values[0] for record in complete)
    none_above = floor is not None and all(record.values[0] <= floor for record in complete)
    quality, what = (lowest, "the lowest of any complete trial") if floor is None else (floor, "returning frame B")
    if none_above:
        quality, what = lowest, f"the lowest of any complete trial, as none beats returning frame B: {floor:.4f}"
    reference = Point(_log(cost), quality)
    plane = sweep.plane
    explanation = (
        f"Hypervolume in the plane of log10({plane.noun}) and SSIM: the area that the trials complete by then "
        f"dominate, up to the reference point at {cost:.4g} {plane.unit} ({COST_MARGIN:g} times the highest of any "
        f"complete trial) and SSIM {quality:.4f} ({what}). Trials beyond the reference point add nothing."
    )

    def area(done: list[TrialRecord]) -> float:
        return hypervolume([Point(_log(record.values[1]), record.values[0]) for record in done], reference)

    return area, "hypervolume", explanation


def _log(cost: float) -> float:
    return math.log10(max(cost, 1e-12))
