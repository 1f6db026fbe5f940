"""The rows of a table: our models, what the paper prints, and how either differs from the reference row."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import kendalltau

from lightning_mm.reporting.comparison import Difference, difference_by_seed
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import Run, signed
from lightning_mm.reproduction.command import Reproduction
from lightning_mm.reproduction.spec import Printed, Question, Row

_FEWEST = 4
"""Rows of which an order is told."""


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        name: Its name.
        row: What the table says of it.
        model: Its runs, one per seed; ``None`` where there is none.
        absent: Why seeds or the whole row are missing.
        fps: Frames per second with quartiles.
        removed: What a removal cut, in words; ``None`` where the row is no removal or has no run.
    """

    name: str
    row: Row
    model: Model | None
    absent: tuple[str, ...]
    fps: dict[str, float] | None
    removed: str | None = None

    @property
    def paper(self) -> Printed:
        """What the paper prints."""
        return self.row.paper

    def values(self, metric: str) -> dict[int, float]:
        """A metric by seed."""
        return {} if self.model is None else self.model.by_seed(metric)


@dataclass(frozen=True)
class Table:
    """All rows of a reproduction.

    Attributes:
        made: What was trained.
        rows: In the paper's order.
    """

    made: Reproduction
    rows: list[TableRow]

    def __getitem__(self, name: str) -> TableRow:
        return next(row for row in self.rows if row.name == name)

    @property
    def reference(self) -> TableRow:
        """The row that differences are taken from."""
        return self[self.made.table.reference]

    @cached_property
    def runs(self) -> list[Run]:
        """Every run, once."""
        return [run for row in self.rows if row.model is not None for run in row.model.runs]

    def difference(self, row: TableRow, metric: str = "ssim", other: TableRow | None = None) -> Difference | None:
        """Ours: of a row's metric from the reference's, seed by seed; ``None`` for the reference itself."""
        other = other or self.reference
        return None if row is other else difference_by_seed(row.values(metric), other.values(metric))

    def printed_difference(self, row: TableRow, metric: str = "ssim", other: TableRow | None = None) -> float | None:
        """The paper's, from its own numbers."""
        other = other or self.reference
        mine, its = getattr(row.paper, metric), getattr(other.paper, metric)
        return None if row is other or mine is None or its is None else mine - its

    def answer(self, question: Question) -> str:
        """A question of the table in one sentence, ours and the paper's."""
        row, against = self[question.row], self[question.against]
        names = f"{row.row.label} against {against.row.label}"
        found, its = self.difference(row, "ssim", against), self.printed_difference(row, "ssim", against)
        paper = "the paper prints no SSIM of both" if its is None else f"the paper: {printed(its)}"
        if found is None:
            return f"{question.asks} {names}: not trained here; {paper}."
        if found.low is None or found.high is None:
            said = f"SSIM {signed(found.value)}, one seed of a row, so nothing can be said about chance"
        else:
            interval = f"{signed(found.low)} to {signed(found.high)}"
            said = f"{found.word} here, SSIM {signed(found.value)} (95 % interval {interval}, {found.seeds[0]} seeds)"
        return f"{question.asks} {names}: {said}; {paper}."

    def agreement(self) -> str | None:
        """How far the order of our SSIM is that of the paper's; ``None`` where too few rows have both."""
        pairs = [
            (row.paper.ssim, row.model.ssim)
            for row in self.rows
            if row.paper.ssim is not None and row.model is not None and row.model.ssim is not None
        ]
        if len(pairs) < _FEWEST or any(len(set(values)) < 2 for values in zip(*pairs, strict=True)):
            return None
        found = kendalltau([paper for paper, _ in pairs], [ours for _, ours in pairs])
        tau, chance = (float(value) for value in np.asarray(found))
        return (
            f"The order of the rows by SSIM, ours against the paper's: Kendall's tau {signed(tau, 2)} over "
            f"{len(pairs)} rows (p = {chance:.2f}); 1 is the same order, 0 none."
        )


def printed(difference: float) -> str:
    """A difference of two printed numbers, which have three digits."""
    return signed(difference, 3) if round(difference, 3) else "0.000"


def table_of(made: Reproduction) -> Table:
    """The rows of a reproduction, in the paper's order."""
    rows = []
    for name, row in made.table.rows.items():
        found = made.results.get(name, [])
        runs = [Run(path, f"{name}, seed {results.budget.get('seed')}", results) for path, results in found]
        model = Model(row.label, tuple(runs)) if runs else None
        absent = tuple(made.absent.get(name, ()))
        removed = made.removed.get(name)
        rows.append(TableRow(name, row, model, absent, made.speeds.rows.get(name), removed))
    return Table(made, rows)
