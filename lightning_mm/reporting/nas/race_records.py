"""Reading what ``lightning-mm nas race`` leaves behind, and what follows from it: progress, ranking, the claim."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.evaluation.methods import FRAME_B
from lightning_mm.nas.arms import best_of
from lightning_mm.nas.measuring import TABLE_FILE
from lightning_mm.nas.race import HAND_DESIGNED, RACE_FILE, RANDOM, RaceRecord
from lightning_mm.nas.ranking import rank_report
from lightning_mm.nas.table import Measured, read_table
from lightning_mm.pareto import Point, hypervolume, pareto_front
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.nas.claim import Claim, Side, judge, mean_over_levels
from lightning_mm.reporting.run import Run
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.runs import RESULTS_FILE, Results

ARMS = {
    "random": "random search",
    "halving": "multi-fidelity TPE",
    "supernet": "supernet",
    "validity": "validity study",
}
_NAMES = {HAND_DESIGNED: "hand-designed", RANDOM: "random member"}


def arm_name(arm: str) -> str:
    """What an arm is called on the page."""
    return ARMS.get(arm, arm)


def finalist_name(name: str) -> str:
    """What a finalist is called on the page."""
    return _NAMES.get(name, name.replace("_", " "))


@dataclass(frozen=True)
class Curve:
    """What an arm had found against the device seconds that it had spent, after each measurement at the last rung.

    Attributes:
        arm: Name of the arm.
        seconds: Seconds spent by then.
        volume: Hypervolume of what it had found.
        best: Best SSIM that it had found.
        start: Seconds after which it began to train candidates: for a supernet's arm its training and search.
        end: Seconds that it spent in all.
    """

    arm: str
    seconds: list[float]
    volume: list[float]
    best: list[float]
    start: float
    end: float


@dataclass(frozen=True)
class Ranking:
    """How well a cheap estimate ranks the networks of the validity study.

    Attributes:
        name: The estimate in words.
        is_control: Whether it is a cost, which an estimate must beat.
        networks: Number of networks that it rests on.
        tau: Kendall's tau; ``None`` where it is undefined.
        error: Its standard error among rankings without association.
        cost_tau: Tau of GFLOPs among the same networks.
        precision: Precision at the top 20 %.
        regret: Regret at 5 in SSIM.
        trusted: Whether tau is 0.6 at least and above that of GFLOPs.
    """

    name: str
    is_control: bool
    networks: int
    tau: float | None
    error: float | None
    cost_tau: float | None
    precision: float | None
    regret: float | None
    trusted: bool

    @property
    def gain(self) -> float:
        """Tau minus that of GFLOPs; an undefined one is 0."""
        return (self.tau or 0.0) - (self.cost_tau or 0.0)


@dataclass(frozen=True, eq=False)
class Race:
    """A race as the page sees it.

    Attributes:
        directory: Where it was found.
        record: ``race.json``.
        rows: The table of measured networks.
        chosen_by: Trainings of the finalists on the choosing seeds, by name.
        claimed_by: Trainings on the claim seeds, by name.
    """

    directory: Path
    record: RaceRecord
    rows: list[Measured]
    chosen_by: dict[str, Model]
    claimed_by: dict[str, Model]

    @property
    def rungs(self) -> list[int]:
        """Epochs of the rungs."""
        return self.record.spec["rungs"]

    @property
    def margin(self) -> float:
        """Fixed margin of the claim."""
        return float(self.record.spec["margin"])

    @property
    def reference(self) -> Point:
        """Reference point of the hypervolume."""
        ssim, gflops = self.record.spec["reference_point"]
        return Point(float(gflops), float(ssim))

    @cached_property
    def longest(self) -> list[Measured]:
        """Of each network the measurement after its longest training."""
        found: dict[str, Measured] = {}
        for row in self.rows:
            if row.ssim is not None and (row.architecture not in found or row.epochs > found[row.architecture].epochs):
                found[row.architecture] = row
        return list(found.values())

    @cached_property
    def last(self) -> dict[str, Measured]:
        """Networks measured at the last rung, by digest."""
        return {row.architecture: row for row in self.longest if row.epochs == max(self.rungs)}

    @property
    def hand_designed(self) -> Measured | None:
        """The hand-designed network at the last rung."""
        return self.last.get(self.record.hand_designed)

    @property
    def front(self) -> list[Measured]:
        """Pareto front at the last rung, cheapest first."""
        rows = list(self.last.values())
        return [rows[i] for i in pareto_front([Point(row.gflops, row.ssim) for row in rows])]

    @property
    def candidates(self) -> list[str]:
        """Finalists that an arm returned, which the choice is made among."""
        return [name for name, entry in self.record.finalists.items() if entry["from"]]

    @cached_property
    def runs(self) -> Sweep | None:
        """All final trainings, for what the pages of sweeps say as well; ``None`` where there is none."""
        runs = [run for models in (self.chosen_by, self.claimed_by) for model in models.values() for run in model.runs]
        return Sweep(self.directory, self.record.name, runs) if runs else None

    @property
    def claim(self) -> Claim | None:
        """The claim about the chosen finalist; ``None`` where none was chosen."""
        name, rows = self.record.chosen, self.record.subpixel
        if name is None:
            return None
        sides = [self._side(one) for one in (name, HAND_DESIGNED)]
        return judge(sides[0], sides[1], self.margin, mean_over_levels(rows, FRAME_B))

    def _side(self, name: str) -> Side:
        ssim = self.claimed_by[name].by_seed("ssim") if name in self.claimed_by else {}
        diverged = [seed for seed in self.record.spec["claim_seeds"] if f"{name} {seed}" in self.record.diverged]
        gflops = float(self.record.finalists[name]["gflops"])
        return Side(gflops, ssim, mean_over_levels(self.record.subpixel, name), diverged)

    def returned(self, arm: str) -> dict[str, Any] | None:
        """The measurement of the network that an arm returned: its best that is not the hand-designed one."""
        events = self.record.arms[arm]["events"]
        return best_of([event for event in events if event["architecture"] != self.record.hand_designed])

    def regret(self, arm: str) -> float | None:
        """SSIM that the returned network lacks on the best that anyone measured at the last rung."""
        event = self.returned(arm)
        if event is None or event["epochs"] != max(self.rungs):
            return None
        return max(row.ssim or 0.0 for row in self.last.values()) - event["ssim"]

    def trainings(self, arm: str) -> Counter[int]:
        """Number of an arm's trainings that reached each rung, diverged ones included."""
        return Counter(event["epochs"] for event in self.record.arms[arm]["events"])

    def curves(self) -> list[Curve]:
        """Progress of every arm."""
        return [self._curve(name) for name in self.record.arms]

    def _curve(self, name: str) -> Curve:
        record = self.record.arms[name]
        curve = Curve(name, [], [], [], supernet_seconds(record) if record["supernet"] else 0.0, record["seconds"])
        points: list[Point] = []
        for event in record["events"]:
            if event["epochs"] != max(self.rungs) or event["ssim"] is None:
                continue
            points.append(Point(event["gflops"], event["ssim"]))
            curve.seconds.append(event["seconds"])
            curve.volume.append(hypervolume(points, self.reference))
            curve.best.append(max([*curve.best[-1:], event["ssim"]]))
        return curve

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Every cheap estimate against the SSIM at the last rung; empty without a validity study."""
        at = {(row.architecture, row.epochs): row for row in self.rows}
        rows = [at.get((name, max(self.rungs))) for name in self.record.validity]
        known = [row for row in rows if row is not None and row.ssim is not None]
        if not known:
            return []
        digests = [row.architecture for row in known]
        found: list[tuple[str, bool, Sequence[float | None]]] = []
        for epochs in self.rungs[:-1]:
            ssim = [row.ssim if (row := at.get((name, epochs))) else None for name in digests]
            found.append((f"SSIM after {epochs} epoch{'s' * (epochs > 1)}", False, ssim))
        inherited = [self.record.inherited.get(name) for name in digests]
        if any(value is not None for value in inherited):
            found.append(("SSIM with inherited weights", False, inherited))
        found.append(("GFLOPs alone", True, [row.gflops for row in known]))
        found.append(("parameters alone", True, [float(row.params) for row in known]))
        return [_ranking(name, control, values, known) for name, control, values in found]


def _ranking(name: str, control: bool, values: Sequence[float | None], rows: Sequence[Measured]) -> Ranking:
    kept = [(value, row.ssim, row.gflops) for value, row in zip(values, rows, strict=True) if value is not None]
    proxy, truth, cost = ([float(item[i] or 0.0) for item in kept] for i in range(3))
    report = rank_report(proxy, truth, cost)
    tau, cost_tau = report.tau, report.cost_tau.tau
    told = (report.precision, report.regret, report.accepted())
    return Ranking(name, control, len(kept), tau.tau, tau.standard_error, cost_tau, *told)


def supernet_seconds(arm: dict[str, Any]) -> float:
    """Device seconds of a supernet's training and search."""
    training, search = arm["supernet"].get("training", {}), arm["supernet"].get("search", {})
    return training.get("device_seconds", training.get("seconds", 0.0)) + search.get("seconds", 0.0)


def read_race(directory: Path) -> Race:
    """Read a race's directory.

    Raises:
        InputError: There is no race in it, or a file is not what the command writes.
    """
    record = RaceRecord.read(directory)
    path = directory / RACE_FILE
    try:
        _require(record)
        seeds = [record.spec[name] for name in ("seeds", "claim_seeds")]
        chosen_by, claimed_by = (
            {n: m for n in record.finalists if (m := _model(directory, record, n, s))} for s in seeds
        )
        return Race(directory, record, read_table(directory / TABLE_FILE), chosen_by, claimed_by)
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{path}: no record of 'lightning-mm nas race' ({what})") from None


def _require(record: RaceRecord) -> None:
    """Refuse here what would fail while the page is made."""
    for name in ("rungs", "seeds", "claim_seeds"):
        if not all(isinstance(value, int) for value in record.spec[name]):
            raise ValueError(f"spec.{name} = {record.spec[name]}")
    if not record.spec["rungs"]:
        raise ValueError("spec.rungs is empty")
    for arm in record.arms.values():
        for name in ("events", "seconds", "duplicates", "infeasible", "diverged", "exhausted", "supernet"):
            arm[name]
        for event in arm["events"]:
            for name in ("seconds", "architecture", "genes", "epochs", "ssim", "gflops"):
                event[name]
    for entry in record.finalists.values():
        for name in ("architecture", "genes", "arch", "gflops", "params", "from"):
            entry[name]
    needed = [] if record.chosen is None else [record.chosen, HAND_DESIGNED]
    for name in needed:
        record.finalists[name]


def _model(directory: Path, record: RaceRecord, name: str, seeds: Sequence[int]) -> Model | None:
    told = record.runs.get(name, {})
    runs = [directory / told[str(seed)] for seed in seeds if str(seed) in told]
    found = [Run(path, path.name, Results.read(path)) for path in runs if (path / RESULTS_FILE).exists()]
    return Model(finalist_name(name), tuple(found)) if found else None
