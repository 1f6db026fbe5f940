"""The arms of a race: rounds of successive halving over one source of candidates, until the seconds are spent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lightning_mm.nas.measuring import Measurer
from lightning_mm.nas.proposing import Proposer
from lightning_mm.nas.table import Measured
from lightning_mm.pareto import Point, pareto_front
from lightning_mm.spaces import Genotype

Say = Callable[[str], None]


@dataclass
class ArmRecord:
    """What an arm did. Plain JSON types.

    Attributes:
        name: Name of the arm.
        events: Measurements in order: "seconds" spent by then, "architecture", "genes", "epochs", "ssim" (``None``
            where it diverged), "gflops".
        seconds: Seconds spent.
        duplicates: Proposals thrown away because they had been made.
        infeasible: Proposals thrown away because they exceed the cap.
        diverged: Trainings that diverged.
        exhausted: Whether the source had no more candidates before the seconds were spent.
        supernet: For the supernet's arm: outcome of its training, and "search" with its counts and seconds.
    """

    name: str
    events: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    duplicates: int = 0
    infeasible: int = 0
    diverged: int = 0
    exhausted: bool = False
    supernet: dict[str, Any] = field(default_factory=dict)


def run_arm(
    record: ArmRecord, measurer: Measurer, proposer: Proposer, first: list[Genotype], seconds: float, say: Say
) -> ArmRecord:
    """Spend what is left of an arm's seconds.

    Args:
        record: The arm so far; its seconds count.
        measurer: Trains.
        proposer: Where candidates come from.
        first: Candidates that the first round begins with: the hand-designed network.
        seconds: Device seconds of the arm. The training that exceeds them is the last.
        say: Prints a line.
    """
    spec = measurer.spec
    while record.seconds < seconds:
        alive = first + proposer.propose(spec.round - len(first))
        first = []
        if not alive:
            record.exhausted = True
            break
        for number, epochs in enumerate(spec.rungs):
            found: list[tuple[Genotype, Measured]] = []
            for genotype in alive:
                if record.seconds >= seconds:
                    break
                row = measurer(genotype, epochs, record.name)
                record.seconds += measurer.charge(genotype, epochs)
                record.diverged += row.ssim is None
                record.events.append(_event(record.seconds, genotype, row))
                found.append((genotype, row))
                if number == 0:
                    proposer.learn(genotype, row)
            alive = better_half(found)
        best = best_of(record.events)
        told = f"{best['ssim']:.4f} at {best['gflops']:.2f} G" if best else "none"
        say(f"{record.name}: {record.seconds:.0f} of {seconds:.0f} s, {len(record.events)} trainings, best {told}")
    record.duplicates, record.infeasible = proposer.duplicates, proposer.infeasible
    return record


def better_half(found: list[tuple[Genotype, Measured]]) -> list[Genotype]:
    """The better half by non-domination in SSIM and cost: front after front, within one by SSIM; diverged ones go."""
    left = [(genotype, row) for genotype, row in found if row.ssim is not None]
    count = len(found) // 2
    kept: list[Genotype] = []
    while left and len(kept) < count:
        front = pareto_front([Point(row.gflops, row.ssim) for _, row in left])
        by_ssim = sorted(front, key=lambda index: -(left[index][1].ssim or 0.0))
        kept += [left[index][0] for index in by_ssim]
        left = [pair for index, pair in enumerate(left) if index not in set(front)]
    return kept[:count]


def best_of(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The event of the highest SSIM among those of the longest training that any has had."""
    known = [event for event in events if event["ssim"] is not None]
    longest = max((event["epochs"] for event in known), default=0)
    return max((event for event in known if event["epochs"] == longest), key=lambda event: event["ssim"], default=None)


def _event(seconds: float, genotype: Genotype, row: Measured) -> dict[str, Any]:
    names = ("architecture", "epochs", "ssim", "gflops")
    return {"seconds": seconds, "genes": list(genotype.values), **{name: getattr(row, name) for name in names}}
