"""The paper's Appendix C: supernet, search, and then the question that it leaves open, what the networks can do.

Each row goes through the same steps, each of which is kept and not done again::

    DIR/a/row.json          the record: see ``RowRecord``
    DIR/a/supernet/         the supernet's run
    DIR/a/found-seed0/      the network found, from scratch
    DIR/a/random-seed0/     a random network of the same space and cost, from scratch
    DIR/a/plain-seed0/      the space's network without a search (kernel 3 everywhere, nothing skipped), where admitted
    DIR/proposed-seed0/     the hand-designed references on the same budget
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lightning_mm.configuration import build, check_data
from lightning_mm.errors import InputError, TrainingDivergedError
from lightning_mm.nas.evolution import Evolution, evolve
from lightning_mm.nas.inherited import Inherited, train_supernet
from lightning_mm.nas.record import Record
from lightning_mm.nas.spec import Preset, RowSpec
from lightning_mm.runs import RESULTS_FILE, fingerprint
from lightning_mm.spaces import Genotype
from lightning_mm.tasks import SupernetTask
from lightning_mm.training import fit

ROW_FILE = "row.json"
NETWORKS = ("found", "random", "plain")
_DRAWS = 1000

Say = Callable[[str], None]


@dataclass
class RowRecord(Record):
    """What a row has given so far. Plain JSON types.

    Attributes:
        name: Of the row.
        description: Of the row.
        max_gflops: The cap.
        attainable: Lowest and highest cost of the space, in 1e9 of the paper's FLOPs.
        space: The space, as in a configuration.
        paper: What the paper prints.
        budget: Fingerprint of the row and the preset; results of another budget are not mixed in.
        supernet: Outcome of the supernet's training; see ``train_supernet``.
        search: "genes" of the network found, "ssim" with inherited weights on the search pairs, "evaluated",
            "duplicates", "infeasible", "filled", "cost_percentile" (share of random admitted networks that cost less),
            "history" (evaluations and best score after each generation), "seconds".
        networks: By name ("found", "random", "plain"): "genes", "arch", "gflops", "params", "runs" (directories that
            hold results) and "diverged" (seed and reason).
    """

    FILE: ClassVar[str] = ROW_FILE
    COMMAND: ClassVar[str] = "nas appendix"

    name: str
    description: str
    max_gflops: float
    attainable: tuple[float, float]
    space: dict[str, Any]
    paper: dict[str, Any]
    budget: str
    supernet: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)


def run_row(row: RowSpec, preset: Preset, directory: Path, say: Say) -> RowRecord:
    """Go through a row, or through what is left of it.

    Args:
        row: The row.
        preset: The budget.
        directory: Of all rows; the row's is below it.
        say: Prints a line.

    Raises:
        InputError: A setting is wrong, or the directory holds the row with another budget.
        Interrupted: Stopped; the same command continues.
    """
    own = directory / row.name
    record = _begin(row, preset, own)
    if record.search or record.supernet.get("status") == "diverged":
        say(_told(record))
    else:
        _train_and_search(row, preset, record, own, say)
    for name, network in record.networks.items():
        network |= _retrain(row, preset, own, name, network, say)
        record.write(own)
    return record


def check(rows: Sequence[RowSpec], preset: Preset, directory: Path) -> None:
    """Build what every row will need, so that a wrong setting is refused before anything starts; nothing is written.

    Raises:
        InputError: A setting or an experiment file is wrong.
    """
    row = rows[0]
    arch = row.space.config(row.space.covers()[0]).to_dict()
    trainings = [preset.retrain_arguments(directory, 0, arch)]
    trainings += [preset.retrain_arguments(directory, 0, reference=file) for file in preset.references.values()]
    clis = [build(preset.supernet_arguments(row, directory), task=SupernetTask), *map(build, trainings)]
    for cli in clis:
        check_data(cli)


def run_references(preset: Preset, directory: Path, say: Say) -> None:
    """Train the hand-designed networks on the budget of the networks found, once per seed."""
    for name, file in preset.references.items():
        for seed in preset.seeds:
            run_dir = directory / f"{name}-seed{seed}"
            try:
                results = fit(preset.retrain_arguments(run_dir, seed, reference=file), role="reference")
            except TrainingDivergedError as error:
                say(f"{name}, seed {seed}: diverged ({error})")
                continue
            say(f"{name}, seed {seed}: SSIM {results.metrics['ssim']:.4f}")


def _begin(row: RowSpec, preset: Preset, directory: Path) -> RowRecord:
    files = {str(path): path.read_text(encoding="utf-8") for path in preset.configs}
    plain: dict[str, Any] = {
        "preset": asdict(preset),
        "files": files,
        "space": row.space.to_dict(),
        "cap": row.max_gflops,
    }
    for free in ("description", "references", "seeds"):
        del plain["preset"][free]
    budget = fingerprint(json.loads(json.dumps(plain, default=str)))
    if (directory / ROW_FILE).exists():
        record = RowRecord.read(directory)
        if record.budget != budget:
            raise InputError(f"{directory}: holds this row with another budget; choose another directory, or delete it")
        return record
    paper = asdict(row.paper)
    attainable = row.space.attainable
    return RowRecord(row.name, row.description, row.max_gflops, attainable, row.space.to_dict(), paper, budget)


def _train_and_search(row: RowSpec, preset: Preset, record: RowRecord, own: Path, say: Say) -> None:
    outcome, estimator = train_supernet(preset.supernet_arguments(row, own / "supernet"))
    record.supernet = outcome
    record.write(own)
    say(_told(record))
    if estimator is None:
        return
    search = _search(row, preset, estimator, lambda line: say(f"{row.name}: {line}"))
    if math.isnan(search["ssim"]):
        reason = "no network of the search has an SSIM that is a number"
        record.supernet = outcome | {"status": "diverged", "reason": reason, "step": outcome["steps"]}
        say(f"{row.name}: {reason}")
    else:
        record.search, record.networks = search, _networks(row, search)
    record.write(own)


def _told(record: RowRecord) -> str:
    outcome = record.supernet
    if outcome["status"] == "diverged":
        return f"{record.name}: the supernet diverged at step {outcome['step']}: {outcome['reason']}"
    probes = ", ".join(f"{name} {value:.3f}" for name, value in outcome["ssim"].items())
    return f"{record.name}: supernet trained, {outcome['steps']} steps, {outcome['seconds']:.0f} s (SSIM {probes})"


def _search(row: RowSpec, preset: Preset, estimator: Inherited, say: Say) -> dict[str, Any]:
    start = time.perf_counter()
    history: list[tuple[int, float]] = []

    def progress(generation: int, state: Evolution) -> None:
        best = state.scores[state.best]
        if math.isfinite(best):
            history.append((len(state.scores), best))
        say(f"generation {generation}: best SSIM {best:.4f} of {len(state.scores)} networks")

    found = evolve(row.space, estimator, preset.search, row.max_gflops, progress)
    space, best = row.space, found.best
    rng = np.random.default_rng(preset.search.seed)
    costs = [space.flops(space.sample(rng, row.max_gflops)) for _ in range(_DRAWS)]
    return {
        "genes": list(best.values),
        "ssim": found.scores[best],
        "evaluated": len(found.scores),
        "duplicates": found.duplicates,
        "infeasible": found.infeasible,
        "filled": found.filled,
        "cost_percentile": float(np.mean(np.array(costs) < space.flops(best))),
        "history": history,
        "seconds": round(time.perf_counter() - start, 3),
    }


def _networks(row: RowSpec, search: dict[str, Any]) -> dict[str, dict[str, Any]]:
    space, best = row.space, Genotype(tuple(search["genes"]))
    rng = np.random.default_rng([2020, *row.name.encode()])
    others = [space.sample(rng, row.max_gflops) for _ in range(_DRAWS)]
    others = [other for other in others if space.canonical(other) != space.canonical(best)] or [best]
    wanted = space.flops(best)
    networks = {"found": best, "random": min(others, key=lambda other: abs(space.flops(other) - wanted))}
    plain = Genotype(("conv3",) * len(space.choices))
    if "conv3" in space.choices[0].values and space.admits(plain, row.max_gflops):
        networks["plain"] = plain
    found = {}
    for name, genotype in networks.items():
        cost = space.cost(genotype)
        figures = {"gflops": cost.paper_gflops, "params": cost.params}
        found[name] = {"genes": list(genotype.values), "arch": space.config(genotype).to_dict(), **figures}
    return found


def _retrain(
    row: RowSpec, preset: Preset, directory: Path, name: str, network: dict[str, Any], say: Say
) -> dict[str, Any]:
    runs: list[str] = []
    diverged: list[dict[str, Any]] = []
    before = {known["seed"]: known for known in network.get("diverged", [])}
    for seed in preset.seeds:
        if seed in before:
            diverged.append(before[seed])
            continue
        run_dir = directory / f"{name}-seed{seed}"
        known = (run_dir / RESULTS_FILE).exists()
        try:
            results = fit(
                preset.retrain_arguments(run_dir, seed, network["arch"]), role="variant", overrides={"network": name}
            )
        except TrainingDivergedError as error:
            diverged.append({"seed": seed, "reason": str(error)})
            say(f"{row.name}: {name}, seed {seed}: diverged ({error})")
            continue
        runs.append(run_dir.name)
        if not known:
            cost = results.cost["paper_flops"] / 1e9
            say(f"{row.name}: {name}, seed {seed}: SSIM {results.metrics['ssim']:.4f} at {cost:.2f} G from scratch")
    return {"runs": runs, "diverged": diverged}
