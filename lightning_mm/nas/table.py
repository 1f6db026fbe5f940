"""The tabular benchmark: a CSV of all measured networks, one row per architecture, fidelity and seed."""

import csv
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.runs import write_text_atomically

TRAINED, DIVERGED, INFEASIBLE = STATUSES = ("trained", "diverged", "infeasible")
CHOICE_PREFIX = "choice."

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TEXT = "must be printable text of one line, not empty and without spaces around it"


@dataclass(frozen=True)
class Measured:
    """One measurement of one network.

    Attributes:
        architecture: Digest of the network.
        arm: What asked for the measurement first, such as a sampler.
        epochs: The fidelity: epochs trained, >= 0.
        seed: Seed of the training, >= 0.
        status: "trained", "diverged", or "infeasible": not trained, as it is dearer than allowed.
        ssim: In [-1, 1], higher is better; a number where trained, else ``None``.
        params: Parameters, >= 0.
        gflops: Cost in 1e9 FLOPs, >= 0.
        latency_ms: Milliseconds, > 0; ``None`` where not measured.
        seconds: What the measurement took, >= 0.
        choices: Value of every choice of the search space, by name. A text must not read as an integer.

    Raises:
        ValueError: A value is not accepted.
    """

    architecture: str
    arm: str
    epochs: int
    seed: int
    status: str
    ssim: float | None
    params: int
    gflops: float
    latency_ms: float | None
    seconds: float
    choices: dict[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be written and read back, or contradicts itself."""
        for name in FIELDS:
            if complaint := _complaint(name, getattr(self, name)):
                raise ValueError(f"Measured.{name} = {getattr(self, name)!r}: {complaint}")
        if complaint := _ssim_complaint(self.status, self.ssim):
            raise ValueError(f"Measured.ssim = {self.ssim!r}: {complaint}")
        for name, value in self.choices.items():
            if not _is_text(name) or not _is_choice(value):
                raise ValueError(f"Measured.choices[{name!r}] = {value!r}: must be an int, or text that is none")

    @property
    def key(self) -> tuple[str, int, int]:
        """What no two rows of a table share: architecture, epochs, seed."""
        return self.architecture, self.epochs, self.seed


FIELDS = tuple(item.name for item in fields(Measured) if item.name != "choices")


@dataclass(frozen=True)
class NetworkMean:
    """One network at one fidelity, over seeds.

    Attributes:
        architecture: Digest of the network.
        choices: Its choices.
        ssim: Mean SSIM of the seeds that trained; ``None`` where all diverged.
        spread: Standard deviation of these (of a sample); ``None`` for fewer than two.
        seeds: How many trained.
        diverged: How many diverged.
        params: Parameters.
        gflops: Cost in 1e9 FLOPs.
        seconds: Mean seconds of one training, diverged ones included.
    """

    architecture: str
    choices: dict[str, int | str]
    ssim: float | None
    spread: float | None
    seeds: int
    diverged: int
    params: int
    gflops: float
    seconds: float


def write_table(path: Path, rows: Sequence[Measured]) -> None:
    """Write a table that ``read_table`` reads back exactly; the file is old or new, and nothing between.

    Args:
        path: The CSV.
        rows: Measurements in one search space.

    Raises:
        InputError: Two rows have the same key, or their choices differ by name.
    """
    names = list(rows[0].choices) if rows else []
    for row in rows:
        if set(row.choices) != set(names):
            raise InputError(f"{path}: {row.architecture} has the choices {list(row.choices)}: must have {names}")
    key, count = Counter(row.key for row in rows).most_common(1)[0] if rows else (None, 1)
    if count > 1:
        raise InputError(f"{path}: architecture, epochs, seed = {key}: must be in one row, are in {count}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIELDS, *(f"{CHOICE_PREFIX}{name}" for name in names)])
    for row in rows:
        writer.writerow([*(_cell(getattr(row, name)) for name in FIELDS), *(row.choices[name] for name in names)])
    write_text_atomically(path, text.getvalue())


def read_table(path: Path) -> list[Measured]:
    """Read a table.

    Args:
        path: The CSV, in UTF-8. Columns may come in any order.

    Raises:
        InputError: It cannot be read, or a column, line or value is not as ``Measured`` says.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is no UTF-8 text at byte {error.start}"
        raise InputError(f"{path}: {reason}; must be a table of measured networks (CSV)") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _require_columns(path, header)
        rows: list[Measured] = []
        lines: dict[tuple[str, int, int], int] = {}
        for cells in reader:
            row = _row(f"{path}, line {reader.line_num}", header, cells)
            if (first := lines.setdefault(row.key, reader.line_num)) != reader.line_num:
                raise InputError(
                    f"{path}, line {reader.line_num}, columns architecture, epochs, seed = {row.key}: must be in one "
                    f"row, are in line {first} too"
                )
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; must be CSV") from error
    return rows


def fidelities(rows: Sequence[Measured]) -> list[int]:
    """Epochs that occur, fewest first."""
    return sorted({row.epochs for row in rows})


def at_fidelity(rows: Sequence[Measured], epochs: int) -> list[Measured]:
    """Rows at one fidelity, in their order.

    Raises:
        InputError: There are none; the message says what there is.
    """
    found = [row for row in rows if row.epochs == epochs]
    if not found:
        raise InputError(f"epochs = {epochs}: must be one of {fidelities(rows)}, the fidelities of the table")
    return found


def mean_over_seeds(rows: Sequence[Measured]) -> list[NetworkMean]:
    """One row per network that was trained, in order of first appearance; infeasible ones are left out.

    Args:
        rows: Rows at one fidelity.

    Raises:
        InputError: There is more than one fidelity, or rows of one architecture disagree about what it is.
    """
    tried = [row for row in rows if row.status != INFEASIBLE]
    if len(found := fidelities(tried)) > 1:
        raise InputError(f"epochs = {found}: rows must be of one fidelity to be averaged")
    groups: defaultdict[str, list[Measured]] = defaultdict(list)
    for row in tried:
        groups[row.architecture].append(row)
    return [_mean(group) for group in groups.values()]


def _mean(group: list[Measured]) -> NetworkMean:
    first = group[0]
    for row in group:
        for name in ("choices", "params", "gflops"):
            if getattr(row, name) != getattr(first, name):
                found = f"{getattr(first, name)} and {getattr(row, name)}"
                raise InputError(f"architecture {first.architecture}, seed {row.seed}: {name} must be one, are {found}")
    values = [row.ssim for row in group if row.ssim is not None]
    mean, spread = fmean(values) if values else None, stdev(values) if len(values) > 1 else None
    counts, seconds = (len(values), len(group) - len(values)), fmean(row.seconds for row in group)
    return NetworkMean(first.architecture, first.choices, mean, spread, *counts, first.params, first.gflops, seconds)


def _require_columns(path: Path, header: list[str]) -> None:
    names = [name for name in header if not name.startswith(CHOICE_PREFIX) or not _is_text(name[len(CHOICE_PREFIX) :])]
    if missing := [name for name in FIELDS if name not in header]:
        raise InputError(f"{path}, line 1: column '{missing[0]}' is missing; must have {', '.join(FIELDS)}")
    if unknown := [name for name in names if name not in FIELDS]:
        raise InputError(f"{path}, line 1, column {unknown[0]!r}: must be {', '.join(FIELDS)} or {CHOICE_PREFIX}NAME")
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"{path}, line 1, column '{twice[0]}': must be there once")


def _row(place: str, header: list[str], cells: list[str]) -> Measured:
    if len(cells) != len(header):
        raise InputError(f"{place}: has {len(cells)} columns, must have {len(header)}")
    values: dict[str, Any] = {}
    choices: dict[str, int | str] = {}
    for name, cell in zip(header, cells, strict=True):
        where = f"{place}, column '{name}' = {cell!r}"
        if name.startswith(CHOICE_PREFIX):
            if not _is_text(cell):
                raise InputError(f"{where}: {_TEXT}")
            choices[name[len(CHOICE_PREFIX) :]] = int(cell) if _INTEGER.fullmatch(cell) else cell
            continue
        values[name] = _parsed(name, cell)
        if complaint := _complaint(name, values[name]):
            raise InputError(f"{where}: {complaint}")
    if complaint := _ssim_complaint(values["status"], values["ssim"]):
        raise InputError(f"{place}, column 'ssim' = {cells[header.index('ssim')]!r}: {complaint}")
    return Measured(**values, choices=choices)


def _parsed(name: str, cell: str) -> Any:
    """A cell as its column's type; as the text that it is where it is not of that type."""
    if name in _OPTIONAL and not cell:
        return None
    if name in _INTEGERS and _INTEGER.fullmatch(cell):
        return int(cell)
    return float(cell) if name in _NUMBERS and _DECIMAL.fullmatch(cell) else cell


def _cell(value: float | str | None) -> str:
    return "" if value is None else repr(float(value)) if isinstance(value, float) else str(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable() and value == value.strip()


def _is_choice(value: object) -> bool:
    if isinstance(value, str):
        return _is_text(value) and not _INTEGER.fullmatch(value)
    return isinstance(value, int) and not isinstance(value, bool)


_INTEGERS = ("epochs", "seed", "params")
_NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "ssim": (lambda value: abs(value) <= 1 + 1e-6, "a number in [-1, 1], or empty"),  # a mean of float32 may round up
    "gflops": (lambda value: value >= 0, "a finite number >= 0"),
    "latency_ms": (lambda value: value > 0, "a finite number > 0, or empty"),
    "seconds": (lambda value: value >= 0, "a finite number >= 0"),
}
_OPTIONAL = ("ssim", "latency_ms")


def _complaint(name: str, value: Any) -> str | None:
    """What a field's value must be, where it is not that."""
    if value is None and name in _OPTIONAL:
        return None
    if name in _INTEGERS:
        fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if fine else "must be a whole number >= 0"
    if name in _NUMBERS:
        accepts, words = _NUMBERS[name]
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and accepts(value):
            return None
        return f"must be {words}"
    if name == "status":
        return None if value in STATUSES else f"must be one of {', '.join(STATUSES)}"
    return None if _is_text(value) else _TEXT


def _ssim_complaint(status: str, ssim: float | None) -> str | None:
    if (status == TRAINED) == (ssim is not None):
        return None
    return (
        "must be a number where status is trained" if status == TRAINED else f"must be empty where status is {status}"
    )
