"""Which setting makes a supernet of the appendix's spaces diverge: short trainings, one setting changed at a time."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lightning_mm.configuration import QUIET, as_arguments, build, check_data, read_dataclass, require_name
from lightning_mm.markdown import markdown_table
from lightning_mm.nas.inherited import OUTCOME_FILE, train_supernet
from lightning_mm.runs import write_text_atomically
from lightning_mm.spaces import ChoiceSpace
from lightning_mm.tasks import SupernetTask

CSV_FILE, TABLE_FILE = "stability.csv", "stability.md"
EXPLODED = 10.0
"""A loss beyond this counts as failed too: copying frame B costs less than 1."""

_COLUMNS = ("setting", "space", "seed", "status", "steps", "loss", "largest_gradient_norm", "last_gradient_norm")


@dataclass(frozen=True)
class StabilitySpec:
    """A stability study.

    Args:
        name: Name; the directory is runs/NAME.
        configs: Experiment files that every training starts from.
        spaces: The spaces, by name.
        variants: Dotted keys of each setting, by name; {} for the recipe as it is.
        epochs: Epochs of each training.
        settings: Dotted keys that hold for all.
        seeds: Seeds of weights, samples and paths.
        description: One sentence.
    """

    name: str
    configs: list[Path]
    spaces: dict[str, ChoiceSpace]
    variants: dict[str, dict[str, Any]]
    epochs: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse a study of nothing."""
        if not self.spaces or not self.variants or not self.seeds or self.epochs < 1:
            raise ValueError("spaces, variants and seeds must not be empty, and epochs >= 1")
        for name in (self.name, *self.spaces, *self.variants):
            require_name(name)


def read_stability(path: Path) -> StabilitySpec:
    """Read a study's YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    missing = "no such file; the one that ships is sweeps/nas_stability.yaml"
    return read_dataclass(path, StabilitySpec, missing, files=lambda spec: spec.configs)


def run_stability(spec: StabilitySpec, directory: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Train every setting on every space with every seed, and write ``stability.csv`` and ``stability.md``.

    Trainings that are done are not done again.

    Returns:
        A row per training, with the columns of the file.
    """
    first = next(iter(spec.spaces))
    for keys in spec.variants.values():  # so that a wrong setting is refused before the others are trained
        check_data(build(_arguments(spec, directory, keys, first, 0), task=SupernetTask))
    rows: list[dict[str, Any]] = []
    for variant, keys in spec.variants.items():
        for space in spec.spaces:
            found = [_row(spec, directory, variant, keys, space, seed) for seed in spec.seeds]
            rows += found
            failed = sum(_failed(row) for row in found)
            norm = max(row["largest_gradient_norm"] for row in found)
            say(f"{variant}, {space}: {failed} of {len(found)} failed, largest gradient norm {norm:.3g}")
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomically(directory / CSV_FILE, text.getvalue())
    write_text_atomically(directory / TABLE_FILE, markdown(spec, rows))
    return rows


def markdown(spec: StabilitySpec, rows: list[dict[str, Any]]) -> str:
    """The study as a table: per setting and space, how many failed, the median loss and the largest gradient norm."""
    lines = [f"# {spec.name}", "", spec.description, ""]
    lines += [f"Failed: the loss is no number, or beyond {EXPLODED:g}. Each cell: failed of {len(spec.seeds)} seeds; "]
    lines[-1] += "median loss at the end of those that did not; largest norm of the gradient."
    body = []
    for variant in spec.variants:
        cells = []
        for space in spec.spaces:
            found = [row for row in rows if row["setting"] == variant and row["space"] == space]
            losses = [row["loss"] for row in found if not _failed(row)]
            loss = f"{median(losses):.3f}" if losses else "-"
            norm = max(row["largest_gradient_norm"] for row in found)
            cells.append(f"{sum(map(_failed, found))} of {len(found)}; {loss}; {norm:.3g}")
        body.append([variant, *cells])
    return "\n".join([*lines, "", markdown_table(["setting", *spec.spaces], body)])


def _row(
    spec: StabilitySpec, directory: Path, variant: str, keys: dict[str, Any], space: str, seed: int
) -> dict[str, Any]:
    run_dir = directory / variant / f"{space}-seed{seed}"
    if (run_dir / OUTCOME_FILE).exists():
        outcome = json.loads((run_dir / OUTCOME_FILE).read_text(encoding="utf-8"))
    else:
        outcome, _ = train_supernet(_arguments(spec, run_dir, keys, space, seed))
    return {
        "setting": variant,
        "space": space,
        "seed": seed,
        "status": outcome["status"],
        "steps": outcome["steps"],
        "loss": outcome["loss"],
        "largest_gradient_norm": outcome["largest_gradient_norm"],
        "last_gradient_norm": outcome.get("gradient_norm"),
    }


def _arguments(spec: StabilitySpec, run_dir: Path, keys: dict[str, Any], space: str, seed: int) -> list[str]:
    own = {"model.space": spec.spaces[space].to_dict(), "trainer.max_epochs": spec.epochs, "run.dir": str(run_dir)}
    own |= {"seed_everything": seed, "model.path_seed": seed, "data.search_pairs": 1}
    return as_arguments(spec.configs, {**spec.settings, **keys, **own, **QUIET})


def _failed(row: dict[str, Any]) -> bool:
    return row["status"] != "trained" or row["loss"] is None or not math.isfinite(row["loss"]) or row["loss"] > EXPLODED
