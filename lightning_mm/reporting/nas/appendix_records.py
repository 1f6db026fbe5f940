"""Reading what ``lightning-mm nas appendix`` leaves behind: its rows, their networks' runs, and the references."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.nas.appendix import NETWORKS, ROW_FILE, RowRecord
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import Run, finite, without_seed
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.runs import RESULTS_FILE, Results

FOUND, RANDOM, PLAIN = NETWORKS


@dataclass(frozen=True, eq=False)
class Network:
    """A network of a row's space.

    Attributes:
        name: "found", "random" or "plain".
        genes: Kind of each block of the space's chain, "skip" where it is left out.
        gflops: The paper's FLOPs in 1e9.
        params: Number of parameters.
        model: Its trainings from scratch; ``None`` where there is none yet.
        diverged: "seed" and "reason" of trainings that diverged.
    """

    name: str
    genes: tuple[str, ...]
    gflops: float
    params: int
    model: Model | None
    diverged: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the appendix's table.

    Attributes:
        record: As written by the command.
        parts: Largest number of residual blocks in the encoder's common, texture and shape part and in the decoder.
        channels: Width of the decoder.
        networks: By name; empty before the search has ended.
    """

    record: RowRecord
    parts: tuple[int, int, int, int]
    channels: int
    networks: dict[str, Network] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Letter of the row."""
        return self.record.name

    @property
    def trained(self) -> bool | None:
        """Whether the supernet could be trained; ``None`` where that is not known yet."""
        status = self.record.supernet.get("status")
        return None if status is None else status == "trained"

    @property
    def inherited(self) -> float | None:
        """SSIM of the network found with inherited weights, on the search pairs."""
        return finite(self.record.search.get("ssim"))

    @property
    def percentile(self) -> float | None:
        """Share of random admitted networks that cost less than the one found."""
        return finite(self.record.search.get("cost_percentile"))

    @property
    def paper_ssim(self) -> float | None:
        """SSIM that the paper prints."""
        return finite(self.record.paper.get("ssim"))

    @property
    def paper_gflops(self) -> float | None:
        """FLOPs that the paper prints, in 1e9."""
        return finite(self.record.paper.get("gflops"))

    def model(self, name: str) -> Model | None:
        """Trainings from scratch of a network by its name."""
        network = self.networks.get(name)
        return None if network is None else network.model

    def gflops(self, name: str) -> float | None:
        """FLOPs of a network by its name, in 1e9."""
        network = self.networks.get(name)
        return None if network is None else network.gflops


@dataclass(frozen=True, eq=False)
class Appendix:
    """Everything that the page is about.

    Attributes:
        directory: Where it was found.
        rows: In the order of their names.
        references: Hand-designed networks trained on the same budget.
    """

    directory: Path
    rows: list[Row]
    references: list[Model]

    @property
    def models(self) -> list[Model]:
        """All networks that were trained from scratch."""
        networks = [network.model for row in self.rows for network in row.networks.values()]
        return [*(model for model in networks if model is not None), *self.references]

    @cached_property
    def runs(self) -> Sweep | None:
        """Their runs, for what the pages of sweeps say as well; ``None`` where there is none."""
        runs = [run for model in self.models for run in model.runs]
        return Sweep(self.directory, self.directory.resolve().name, runs) if runs else None

    def reference(self, name: str) -> Model | None:
        """A hand-designed network by its name."""
        return next((model for model in self.references if model.label == name), None)


def read_appendix(directory: Path) -> Appendix:
    """Read the rows and references below a directory.

    Raises:
        InputError: There is no row, or a file is not what the command writes.
    """
    paths = sorted(directory.glob(f"*/{ROW_FILE}"))
    if not paths:
        raise InputError(f"{directory}: no row in it (no */{ROW_FILE}); 'lightning-mm nas appendix' writes them")
    rows = [_row(path.parent) for path in paths]
    found: dict[str, list[Run]] = {}
    for path in sorted(directory.glob(f"*/{RESULTS_FILE}")):
        results = Results.read(path.parent)
        if results.role == "reference":
            name = without_seed(results.name, results.budget.get("seed"))
            found.setdefault(name, []).append(Run(path.parent, results.name, results))
    references = [Model(name, _by_seed(runs)) for name, runs in found.items()]
    references.sort(key=lambda model: model.gflops or 0.0)
    return Appendix(directory, rows, references)


def _row(directory: Path) -> Row:
    record = RowRecord.read(directory)
    path = directory / ROW_FILE
    for name in ("space", "paper", "supernet", "search", "networks"):
        if not isinstance(getattr(record, name), dict):
            raise InputError(f"{path}: {name} is {str(getattr(record, name))[:80]!r}, must be an object")
    try:
        space = record.space["init_args"]
        common, texture, shape = (int(count) for count in space["encoder_blocks"])
        parts = (common, texture, shape, int(space["decoder_blocks"]))
        low, high = record.attainable
        record.attainable = (float(low), float(high))
        record.max_gflops = float(record.max_gflops)
        record.search["history"] = [(int(n), float(best)) for n, best in record.search.get("history", ())]
        told = {name: record.networks[name] for name in NETWORKS if name in record.networks}
        networks = {name: _network(directory, record.name, name, network) for name, network in told.items()}
        for network in networks.values():
            if len(network.genes) != sum(parts):
                raise ValueError(f"{network.name} has {len(network.genes)} blocks, its space {sum(parts)}")
        return Row(record, parts, int(space["decoder_channels"]), networks)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{path}: no record of 'lightning-mm nas appendix' ({what})") from None


def _network(directory: Path, row: str, name: str, told: dict[str, Any]) -> Network:
    names = [run for run in told.get("runs", ()) if (directory / run / RESULTS_FILE).exists()]
    runs = [Run(directory / run, f"{row} {run}", Results.read(directory / run)) for run in names]
    return Network(
        name=name,
        genes=tuple(str(gene) for gene in told["genes"]),
        gflops=float(told["gflops"]),
        params=int(told["params"]),
        model=Model(f"{row} {name}", _by_seed(runs)) if runs else None,
        diverged=[{"seed": item["seed"], "reason": str(item["reason"])} for item in told.get("diverged", ())],
    )


def _by_seed(runs: list[Run]) -> tuple[Run, ...]:
    return tuple(sorted(runs, key=lambda run: -1 if run.seed is None else run.seed))
