"""Short trainings from scratch as an estimator: each network and number of epochs is measured once."""

from pathlib import Path

from lightning_mm.configuration import QUIET, as_arguments, build
from lightning_mm.errors import InputError, TrainingDivergedError
from lightning_mm.models import MagnifierConfig
from lightning_mm.nas.race_spec import RaceSpec
from lightning_mm.nas.table import Measured, read_table, write_table
from lightning_mm.runs import fingerprint
from lightning_mm.spaces import Genotype
from lightning_mm.tasks import MagnifyTask
from lightning_mm.timing import device_seconds
from lightning_mm.training import fit

TABLE_FILE = "table.csv"


def digest(config: MagnifierConfig) -> str:
    """Name of a network: two configurations of the same one have the same."""
    return fingerprint(config.canonical().to_dict())


class Measurer:
    """Trains members of a race's space and keeps the table of what was measured.

    Trainings go on from rung to rung, and what one arm has measured another one is charged for, but not kept waiting.

    Args:
        spec: The race.
        directory: Directory of the race; the table and the runs go there.
    """

    def __init__(self, spec: RaceSpec, directory: Path) -> None:
        self.spec, self.directory = spec, directory
        path = directory / TABLE_FILE
        self.rows = read_table(path) if path.exists() else []
        self._known = {(row.architecture, row.epochs): row for row in self.rows}

    def __call__(self, genotype: Genotype, epochs: int, arm: str) -> Measured:
        """SSIM on the search pairs after a number of epochs; none where the training diverged.

        Args:
            genotype: What to train.
            epochs: One of the rungs, in increasing order for each network.
            arm: Who asks first; kept in the table.

        Returns:
            The measurement; its seconds are those of all epochs, set-up included (``device_seconds``).
        """
        name = digest(self.spec.space.config(genotype))
        if (name, epochs) not in self._known:
            row = self._measure(name, genotype, epochs, arm)
            self._known[name, epochs] = row
            self.rows.append(row)
            write_table(self.directory / TABLE_FILE, self.rows)
        return self._known[name, epochs]

    def charge(self, genotype: Genotype, epochs: int) -> float:
        """Seconds from the rung before to this one."""
        name = digest(self.spec.space.config(genotype))
        return self._known[name, epochs].seconds - self._before(name, epochs)

    def _before(self, name: str, epochs: int) -> float:
        return max((row.seconds for (key, at), row in self._known.items() if key == name and at < epochs), default=0.0)

    def _measure(self, name: str, genotype: Genotype, epochs: int, arm: str) -> Measured:
        space = self.spec.space
        cost, arch = space.cost(genotype), space.config(genotype).canonical()
        common = {"architecture": name, "arm": arm, "epochs": epochs, "seed": 0, "params": cost.params}
        common |= {"gflops": cost.paper_gflops, "choices": space.named(space.canonical(genotype))}
        before, start = self._before(name, epochs), device_seconds()
        status, ssim = "trained", None
        # Measured once per network: it does not depend on the training.
        latency = next((row.latency_ms for row in self.rows if row.architecture == name and row.latency_ms), None)
        try:
            arguments = self.spec.candidate_arguments(self.directory / "nets" / name, arch.to_dict(), epochs)
            results = fit(arguments + ["--run.latency_size=0"] * (latency is not None), role="trial")
            ssim, latency = results.metrics["ssim"], latency or results.latency.get("ms")
        except TrainingDivergedError:
            status = "diverged"
        seconds = before + device_seconds() - start
        return Measured(**common, status=status, ssim=ssim, latency_ms=latency, seconds=seconds)  # pyright: ignore


def hand_designed(spec: RaceSpec) -> Genotype:
    """The hand-designed network as a member of the space.

    Raises:
        InputError: It is none.
    """
    genotype = spec.space.genotype_of(architecture(spec, spec.hand_designed))
    if genotype is None:
        raise InputError(f"hand_designed {spec.hand_designed}: is no member of the space, so no arm can begin with it")
    return genotype


def architecture(spec: RaceSpec, experiment: Path) -> MagnifierConfig:
    """The architecture of an experiment file."""
    task = build(as_arguments([*spec.configs, experiment], QUIET)).model
    assert isinstance(task, MagnifyTask)
    return task.arch
