"""A race between ways of searching, and then the question whether what they found is better than the hand-designed net.

Every step is kept and not done again::

    DIR/race.json        the record: see ``RaceRecord``
    DIR/table.csv        every network that was measured: a small tabular benchmark
    DIR/nets/            the short trainings
    DIR/supernet/        the supernet's training
    DIR/final/           finalists and references from scratch, once per seed
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lightning_mm.configuration import build, check_data
from lightning_mm.cost import cost
from lightning_mm.errors import InputError, TrainingDivergedError
from lightning_mm.models import MagnifierConfig
from lightning_mm.nas.arms import ArmRecord, Say, best_of, run_arm
from lightning_mm.nas.evolution import evolve
from lightning_mm.nas.inherited import Inherited, train_supernet
from lightning_mm.nas.measuring import Measurer, architecture, digest, hand_designed
from lightning_mm.nas.proposing import ListProposer, Proposer, RandomProposer, TpeProposer
from lightning_mm.nas.race_spec import RaceSpec
from lightning_mm.nas.record import Record
from lightning_mm.nas.subpixel import subpixel_rows
from lightning_mm.runs import RESULTS_FILE, Results, write_text_atomically
from lightning_mm.spaces import Genotype
from lightning_mm.tasks import SupernetTask
from lightning_mm.timing import device_seconds
from lightning_mm.training import fit

RACE_FILE = "race.json"
HAND_DESIGNED, RANDOM = "hand_designed", "random_member"
_VALIDITY_SEED, _RANDOM_SEED = 7, 11


@dataclass
class RaceRecord(Record):
    """What a race has given so far. Plain JSON types.

    Attributes:
        name: Of the race.
        description: Of the race.
        budget: Fingerprint of what measurements depend on.
        spec: The race's numbers: "max_gflops", "seconds", "rungs", "final_epochs", "seeds", "claim_seeds", "margin",
            "reference_point", "size" (of the space), "attainable".
        hand_designed: Digest of the hand-designed network.
        arms: Name to ``ArmRecord``.
        validity: Digests of the random members of the validity study.
        inherited: Digest to the SSIM with inherited weights, of every network that was measured.
        finalists: Name to "architecture", "genes" (``None`` for no member), "arch", "gflops", "params", "from" (arms).
        runs: Name to directories with results below the race's, by seed.
        diverged: Final trainings that diverged, "name seed".
        chosen: Name of the finalist that the claim is about.
        subpixel: Rows of ``evaluation.levels.curve`` for the chosen and the hand-designed network and frame B.
    """

    FILE: ClassVar[str] = RACE_FILE
    COMMAND: ClassVar[str] = "nas race"

    name: str
    description: str
    budget: str
    spec: dict[str, Any]
    hand_designed: str
    arms: dict[str, dict[str, Any]] = field(default_factory=dict)
    validity: list[str] = field(default_factory=list)
    inherited: dict[str, float | None] = field(default_factory=dict)
    finalists: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, str]] = field(default_factory=dict)
    diverged: list[str] = field(default_factory=list)
    chosen: str | None = None
    subpixel: list[dict[str, Any]] = field(default_factory=list)


class Race:
    """Runs a race, or what is left of it.

    Args:
        spec: The race.
        directory: Its directory.
        say: Prints a line.

    Raises:
        InputError: The hand-designed network is no member, or the directory holds another race.
    """

    def __init__(self, spec: RaceSpec, directory: Path, say: Say) -> None:
        self.spec, self.directory, self.say = spec, directory, say
        self.hand = hand_designed(spec)
        self._check()
        self.measurer = Measurer(spec, directory)
        self.estimator: Inherited | None = None
        names = ("max_gflops", "seconds", "rungs", "final_epochs", "seeds", "claim_seeds", "margin", "reference_point")
        numbers = {name: getattr(spec, name) for name in names}
        numbers |= {"size": spec.space.size, "attainable": spec.space.attainable}
        hand = digest(spec.space.config(self.hand))
        self.record = RaceRecord(spec.name, spec.description, spec.budget(), numbers, hand)
        if (directory / RACE_FILE).exists():
            self.record = RaceRecord.read(directory)
            if self.record.budget != spec.budget():
                raise InputError(f"{directory}: holds a race of another budget; choose another directory, or delete it")
            self.record.spec = numbers

    def run(self) -> RaceRecord:
        """Arms, finalists, claim, and at last the validity study, which decides nothing.

        Raises:
            Interrupted: Stopped; the same command continues.
        """
        for name in self.spec.arms:
            if self.record.arms.get(name, {}).get("seconds", 0.0) < self.spec.seconds:
                self.record.arms[name] = asdict(self._arm(name))
                self._save()
        for epochs in self.spec.rungs:
            self.measurer(self.hand, epochs, "reference")  # which rounds may have dropped earlier
        self._finalists()
        for name in self.record.finalists:
            self._train(name, self.spec.seeds)
        self._choose()
        for name in (self.record.chosen, HAND_DESIGNED):
            if name is not None:
                self._train(name, self.spec.claim_seeds)
        self._subpixel()
        self._validity()
        self._inherited()
        return self.record

    def _check(self) -> None:
        """Build one of each kind of training, so that a wrong setting is refused before hours have gone."""
        arch = self.spec.space.config(self.hand).to_dict()
        clis = [build(self.spec.candidate_arguments(self.directory, arch, 1))]
        clis += [build(self.spec.final_arguments(self.directory, arch, 0))]
        if "supernet" in self.spec.arms:
            clis += [build(self.spec.supernet_arguments(self.directory), task=SupernetTask)]
        for cli in clis:
            check_data(cli)
        for path in self.spec.references.values():
            architecture(self.spec, path)

    def _arm(self, name: str) -> ArmRecord:
        # What was measured before an interruption is known to the measurer, so that an arm begins anew at no cost.
        space, cap, record = self.spec.space, self.spec.max_gflops, ArmRecord(name)
        proposer: Proposer
        if name == "supernet":
            proposer = ListProposer(space, self._shortlist(record), known=[self.hand])
        else:
            kind = RandomProposer if name == "random" else TpeProposer
            proposer = kind(space, cap, known=[self.hand])
        return run_arm(record, self.measurer, proposer, [self.hand], self.spec.seconds, self.say)

    def _shortlist(self, record: ArmRecord) -> list[Genotype]:
        """The best by inherited weights under each cap in turn; the supernet's time is charged to the record."""
        spec, options = self.spec, self.spec.supernet
        estimator = self._estimator(record)
        if estimator is None:
            return []
        path = self.directory / "supernet" / "search.json"
        if not path.exists():
            start = device_seconds()
            scores: dict[Genotype, float] = {}

            def score(genotype: Genotype) -> float:
                return scores[genotype] if genotype in scores else scores.setdefault(genotype, estimator(genotype))

            found: list[list[Genotype]] = []
            counts = {"duplicates": 0, "infeasible": 0, "filled": 0}
            for share in options.caps:
                search = evolve(spec.space, score, options.search, share * spec.max_gflops, start=(self.hand,))
                counts = {name: count + getattr(search, name) for name, count in counts.items()}
                found.append(search.top(options.shortlist))
            genes = [list(path.values) for rank in zip(*found, strict=False) for path in reversed(rank)]
            told = {"genes": genes, "evaluated": len(scores), **counts, "seconds": device_seconds() - start}
            write_text_atomically(path, json.dumps(told, indent=1) + "\n")
        told = json.loads(path.read_text(encoding="utf-8"))
        record.supernet["search"] = {name: value for name, value in told.items() if name != "genes"}
        record.seconds += told["seconds"]
        self.say(f"supernet: trained and searched in {record.seconds:.0f} s, {told['evaluated']} networks scored")
        return [Genotype(tuple(genes)) for genes in told["genes"]]

    def _estimator(self, record: ArmRecord | None = None) -> Inherited | None:
        arguments = self.spec.supernet_arguments(self.directory / "supernet")
        outcome, self.estimator = train_supernet(arguments)
        if record is not None:
            record.supernet = {"training": outcome}
            record.seconds += outcome["device_seconds"]
            if self.estimator is None:
                self.say(f"supernet: diverged at step {outcome['step']}: {outcome['reason']}")
        return self.estimator

    def _validity(self) -> None:
        space = self.spec.space
        proposer = RandomProposer(space, self.spec.max_gflops, known=[self.hand], seed=_VALIDITY_SEED)
        members = proposer.propose(self.spec.validity)
        for number, genotype in enumerate(members):
            row = [self.measurer(genotype, epochs, "validity") for epochs in self.spec.rungs][-1]
            told = "diverged" if row.ssim is None else f"SSIM {row.ssim:.4f} at {row.gflops:.2f} G"
            self.say(f"validity: {number + 1} of {len(members)}, {told}")
        self.record.validity = [digest(space.config(genotype)) for genotype in members]
        self._save()

    def _inherited(self) -> None:
        if "supernet" not in self.spec.arms:
            return
        space = self.spec.space
        measured: dict[str, Genotype] = {}
        for row in self.measurer.rows:
            measured[row.architecture] = Genotype(tuple(row.choices[choice.name] for choice in space.choices))
        wanted = {name: genotype for name, genotype in measured.items() if name not in self.record.inherited}
        if wanted and (estimator := self.estimator or self._estimator()) is not None:
            for name, genotype in wanted.items():
                value = estimator(space.require(genotype))
                self.record.inherited[name] = value if np.isfinite(value) else None
            self._save()

    def _finalists(self) -> None:
        spec, space = self.spec, self.spec.space
        entries: dict[str, tuple[Genotype | None, MagnifierConfig, list[str]]] = {}
        entries[HAND_DESIGNED] = (self.hand, space.config(self.hand), [])
        for arm, record in self.record.arms.items():
            events = [event for event in record["events"] if event["architecture"] != self.record.hand_designed]
            for label, event in (("best", best_of(events)), ("cheap", self._cheapest_not_worse(record["events"]))):
                if event is None:
                    continue
                same = [n for n, e in entries.items() if digest(e[1]) == event["architecture"]]
                if same:
                    entries[same[0]][2].append(arm)
                else:
                    genotype = Genotype(tuple(event["genes"]))
                    entries[f"{arm}_{label}"] = (genotype, space.config(genotype), [arm])
        member = space.sample(np.random.default_rng(_RANDOM_SEED), spec.max_gflops)
        entries[RANDOM] = (member, space.config(member), [])
        for name, path in spec.references.items():
            entries[name] = (None, architecture(spec, path), [])
        self.record.finalists = {name: self._entry(*entry) for name, entry in entries.items()}
        self._save()

    def _cheapest_not_worse(self, events: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The cheapest network that is not below the hand-designed one after the longest training of both."""
        last = max(self.spec.rungs)
        level = self.measurer(self.hand, last, "reference").ssim
        at = [event for event in events if event["epochs"] == last and event["ssim"] is not None]
        at = [event for event in at if event["architecture"] != self.record.hand_designed]
        return min(
            (event for event in at if level is not None and event["ssim"] >= level),
            key=lambda event: event["gflops"],
            default=None,
        )

    def _entry(self, genotype: Genotype | None, config: MagnifierConfig, arms: list[str]) -> dict[str, Any]:
        report = cost(config)
        genes = None if genotype is None else list(genotype.values)
        named = {"architecture": digest(config), "genes": genes, "arch": config.canonical().to_dict()}
        return {**named, "gflops": report.paper_gflops, "params": report.params, "from": arms}

    def _train(self, name: str, seeds: list[int]) -> None:
        entry = self.record.finalists[name]
        for seed in seeds:
            run_dir = Path("final") / f"{name}-{entry['architecture']}-seed{seed}"
            known = (self.directory / run_dir / RESULTS_FILE).exists()
            arguments = self.spec.final_arguments(self.directory / run_dir, entry["arch"], seed)
            try:
                results = fit(arguments, role="reference" if entry["genes"] is None else "variant")
            except TrainingDivergedError:
                self.record.diverged = sorted({*self.record.diverged, f"{name} {seed}"})
                self._save()
                continue
            self.record.runs.setdefault(name, {})[str(seed)] = str(run_dir)
            if not known:
                self.say(f"final: {name}, seed {seed}: SSIM {results.metrics['ssim']:.4f} at {entry['gflops']:.2f} G")
            self._save()

    def _choose(self) -> None:
        """The finalist of the highest mean SSIM over the choosing seeds, under the cap."""
        means: dict[str, float] = {}
        for name, entry in self.record.finalists.items():
            values = [self._ssim(name, seed) for seed in self.spec.seeds]
            if entry["from"] and all(value is not None for value in values):
                means[name] = float(np.mean([value for value in values if value is not None]))
        self.record.chosen = max(means, key=means.__getitem__, default=None)
        self._save()

    def _ssim(self, name: str, seed: int) -> float | None:
        run = self.record.runs.get(name, {}).get(str(seed))
        return None if run is None else Results.read(self.directory / run).metrics["ssim"]

    def _subpixel(self) -> None:
        names = [name for name in (self.record.chosen, HAND_DESIGNED) if name is not None]
        first = {name: next(iter(self.record.runs.get(name, {}).values()), None) for name in names}
        runs = {name: self.directory / run for name, run in first.items() if run is not None}
        self.record.subpixel = subpixel_rows(runs)
        self._save()

    def _save(self) -> None:
        self.record.write(self.directory)
