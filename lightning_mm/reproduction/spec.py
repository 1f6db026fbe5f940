"""A table of the paper and a budget as data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning_mm.configuration import QUIET, as_arguments, read_dataclass, require_name, require_settings
from lightning_mm.errors import InputError

Kind = Literal["training", "removal"]
Curve = Literal["subpixel", "noise"]
EPOCHS = "trainer.max_epochs"
_OF_ROWS = ("model.arch.", "model.removal.part", "model.removal.component", "run.weights")
TABLES, BUDGETS = Path("experiments/tables"), Path("experiments/budgets")


@dataclass(frozen=True)
class Printed:
    """What the paper prints of a row; what it does not print is left out.

    Args:
        params: Parameters in thousands.
        gflops: FLOPs in 1e9, as the paper counts them.
        ssim: SSIM on its validation set.
        lpips: LPIPS (VGG16) on its validation set.
        fps: Frames per second at 1920 x 1080 on an NVIDIA RTX 3090.
        removed: Mark of Table 1: "x" all components of the kind removed, "triangle" some survive.
    """

    params: float | None = None
    gflops: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    fps: float | None = None
    removed: Literal["x", "triangle"] | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        label: What the row is called.
        paper: What the paper prints of it.
        files: Experiment files on top of the table's; with none, the row is what those say.
        kind: "training" from scratch; "removal" of components of a trained model (the paper's Section 5.1);
            ``None`` where the row is another's model, of which only the paper's numbers are shown.
    """

    label: str
    paper: Printed = Printed()
    files: list[Path] = field(default_factory=list)
    kind: Kind | None = "training"


@dataclass(frozen=True)
class Question:
    """A claim of the paper that two rows answer.

    Args:
        asks: The question.
        row: Name of the row that it is about.
        against: Name of the row that it is compared with.
    """

    asks: str
    row: str
    against: str


@dataclass(frozen=True)
class TableSpec:
    """A table or figure of the paper.

    Args:
        name: Name of the files that are written.
        title: Its title.
        configs: Experiment files that every row starts from, merged left to right.
        rows: By name, in the paper's order.
        reference: Name of the row from which the paper takes differences.
        questions: What the table is read for.
        curves: Protocols that every row's first seed is put through as well.
        description: What the paper does, and where this differs.
    """

    name: str
    title: str
    configs: list[Path]
    rows: dict[str, Row]
    reference: str
    questions: list[Question] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse names that no row has, and two rows that would share a run directory."""
        require_name(self.name)
        if not self.configs:
            raise ValueError("configs is empty: must be one or more experiment files")
        named = [self.reference, *(name for q in self.questions for name in (q.row, q.against))]
        for name in named:
            if name not in self.rows:
                raise ValueError(f"row '{name}': must be one of {', '.join(self.rows)}")
        keys = [self.run_name(row) for row in self.rows.values() if row.kind is not None]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"rows: two of them would be trained in one directory, {key}")

    def run_name(self, row: Row) -> str:
        """Name of a row's runs without the seed: its last file's, so that tables that share rows share their runs."""
        last = (row.files or self.configs)[-1]
        return last.stem if last.parent.name in ("", "experiments") else f"{last.parent.name}-{last.stem}"

    @property
    def trained(self) -> dict[str, Row]:
        """The rows that are trained."""
        return {name: row for name, row in self.rows.items() if row.kind is not None}


@dataclass(frozen=True)
class Budget:
    """How long and on what every row is trained.

    Args:
        configs: Experiment files on top of a row's.
        settings: Dotted keys that hold for every training.
        seeds: Seeds that each row is trained with.
        removal_settings: Dotted keys for tables of removals, whose rows start from trained weights; they prevail over
            the settings.
        switch_epochs: For removals, epochs with switches; the fine-tuning after the cut has ``trainer.max_epochs``.
            What is trained beside them has both together.
        fps_size: (height, width) of the frames that FPS is measured with; the paper's are 1080 x 1920.
        fps_seconds: Time for each network; what does not do three frames in it has no FPS.
        curve_samples: Scenes per level of a table's curves.
        curve_size: Side of their frames in pixels.
        description: One sentence.
    """

    configs: list[Path] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    removal_settings: dict[str, Any] = field(default_factory=dict)
    switch_epochs: int = 1
    fps_size: tuple[int, int] = (1080, 1920)
    fps_seconds: float = 10.0
    curve_samples: int = 16
    curve_size: int = 384
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse budgets without a training, and keys that are no business of a budget."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {self.seeds}: must be one or more different numbers")
        for name in ("switch_epochs", "curve_samples", "curve_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be >= 1")
        if not self.fps_seconds > 0:
            raise ValueError(f"fps_seconds = {self.fps_seconds}: must be > 0")
        if min(self.fps_size) < 1:
            raise ValueError(f"fps_size = {self.fps_size}: must be two numbers >= 1")
        require_settings(self.settings)
        require_settings(self.removal_settings, ("model.removal.",))


@dataclass(frozen=True)
class Job:
    """One training that a table needs.

    Attributes:
        row: Name of the row.
        kind: What is done.
        seed: Its seed.
        directory: Its run directory.
        arguments: Command-line arguments of ``fit`` or ``prune``.
    """

    row: str
    kind: Kind
    seed: int
    directory: Path
    arguments: list[str]


def jobs(table: TableSpec, budget: Budget, directory: Path, settings: dict[str, Any]) -> list[Job]:
    """All trainings of a table, a seed of every row before the next seed.

    Args:
        table: The table.
        budget: The budget.
        directory: Of all runs of this budget.
        settings: Dotted keys that prevail over the budget's.

    Raises:
        InputError: The budget does not say how long a removal is fine-tuned, or a setting is one that rows or runs
            have of their own, or of removals where there is none.
    """
    found = []
    has_removals = any(row.kind == "removal" for row in table.rows.values())
    shared = {**budget.settings, **(budget.removal_settings if has_removals else {}), **settings}
    if has_removals and EPOCHS not in shared:
        raise InputError(f"settings: a table of removals needs {EPOCHS} there")
    for key, value in shared.items():
        if key in ("seed_everything", "data.seed", "run.dir") or QUIET.get(key, value) != value:
            raise InputError(f"settings: {key}: not used here; see --seeds, --dir and --workers")
        if key.startswith(_OF_ROWS):
            raise InputError(f"settings: {key}: this is what the rows of {table.name} differ in")
        if key.startswith("model.removal.") and not has_removals:
            raise InputError(f"settings: {key}: {table.name} removes nothing")
    for seed in budget.seeds:
        for name, row in table.trained.items():
            run_dir = directory / f"{table.run_name(row)}-seed{seed}"
            own: dict[str, Any] = {"seed_everything": seed, "data.seed": seed, "run.dir": str(run_dir), **QUIET}
            values = {**shared, **own}
            if row.kind != "removal":
                values = {key: value for key, value in values.items() if not key.startswith("model.removal.")}
            more: list[str] = []
            if has_removals:
                epochs = values[EPOCHS]
                values[EPOCHS] = budget.switch_epochs + (0 if row.kind == "removal" else epochs)
                more = [f"--finetune_epochs={epochs}"] if row.kind == "removal" else []
            files: Sequence[Path] = [*table.configs, *row.files, *budget.configs]
            arguments = [*as_arguments(files, values), *more]
            assert row.kind is not None
            found.append(Job(name, row.kind, seed, run_dir, arguments))
    return found


def read_table(path: Path) -> TableSpec:
    """Read a table's YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    there = ", ".join(sorted(file.stem for file in TABLES.glob("*.yaml")))
    missing = f"no such file; the tables that ship are in {TABLES}/: {there}"
    return read_dataclass(path, TableSpec, missing, files=_files)


def read_budget(path: Path) -> Budget:
    """Read a budget's YAML file; errors as of ``read_table``."""
    missing = f"no such file; the budgets that ship are in {BUDGETS}/"
    return read_dataclass(path, Budget, missing, files=lambda spec: spec.configs)


def _files(spec: TableSpec) -> list[Path]:
    return [*spec.configs, *(file for row in spec.rows.values() for file in row.files)]
