"""The appendix's table: the paper's columns and ours, as HTML, Markdown and CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

from lightning_mm.markdown import markdown_table as table
from lightning_mm.reporting.nas.appendix_records import FOUND, PLAIN, RANDOM, Row
from lightning_mm.reporting.run import DASH, plain


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        group: Heading that neighbouring columns share.
        title: Its own heading.
        text: The cell for readers.
    """

    group: str
    title: str
    text: Callable[[Row], str]


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:.{digits}f}"


def _yes(value: bool | None) -> str:
    return DASH if value is None else "yes" if value else "no"


def _attainable(row: Row) -> str:
    low, high = row.record.attainable
    return f"{low:.1f} to {high:.1f}"


def _scratch(row: Row, name: str) -> str:
    network = row.networks.get(name)
    if network is None:
        return DASH
    if network.model is not None:
        return network.model.text("ssim", 4)
    return "diverged" if network.diverged else "not trained yet"


def _trainable(row: Row) -> str:
    return "not known yet" if row.trained is None else _yes(row.trained)


def _of(told: str, key: str, digits: int | None = None) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = getattr(row.record, told).get(key)
        if value is None:
            return DASH
        return plain(value) if digits is None else f"{value:.{digits}f}"

    return text


def _norm(row: Row) -> str:
    value = row.record.supernet.get("largest_gradient_norm")
    return DASH if value is None else f"{value:.3g}"


def _percentile(row: Row) -> str:
    return DASH if row.percentile is None else f"{100 * row.percentile:.0f} %"


RESULTS = (
    Column("Constraints", "Enc.", lambda row: str(sum(row.parts[:3]))),
    Column("Constraints", "Dec.", lambda row: str(row.parts[3])),
    Column("Constraints", "Ch.", lambda row: str(row.channels)),
    Column("Constraints", "Max FLOPs [G]", lambda row: f"{row.record.max_gflops:g}"),
    Column("Constraints", "attainable [G]", _attainable),
    Column("Trainable", "ours", _trainable),
    Column("Trainable", "paper", lambda row: _yes(row.record.paper.get("trained"))),
    Column("SSIM, search pairs", "found, inherited weights", lambda row: _number(row.inherited, 4)),
    Column("SSIM, validation pairs, from scratch", "found", lambda row: _scratch(row, FOUND)),
    Column("SSIM, validation pairs, from scratch", "random", lambda row: _scratch(row, RANDOM)),
    Column("SSIM, validation pairs, from scratch", "plain", lambda row: _scratch(row, PLAIN)),
    Column("SSIM, paper's set", "paper", lambda row: _number(row.paper_ssim, 3)),
    Column("FLOPs [G]", "found", lambda row: _number(row.gflops(FOUND), 2)),
    Column("FLOPs [G]", "random", lambda row: _number(row.gflops(RANDOM), 2)),
    Column("FLOPs [G]", "plain", lambda row: _number(row.gflops(PLAIN), 2)),
    Column("FLOPs [G]", "paper", lambda row: _number(row.paper_gflops, 2)),
)
"""What the paper's table has, and what it lacks."""

SEARCH = (
    Column("Supernet", "outcome", lambda row: row.record.supernet.get("status", "not known yet")),
    Column("Supernet", "steps", _of("supernet", "steps")),
    Column("Supernet", "seconds", _of("supernet", "seconds", 0)),
    Column("Supernet", "largest gradient norm", _norm),
    Column("Supernet", "inverted", lambda row: _yes(row.record.supernet.get("inverted"))),
    Column("Search", "evaluated", _of("search", "evaluated")),
    Column("Search", "duplicates", _of("search", "duplicates")),
    Column("Search", "infeasible", _of("search", "infeasible")),
    Column("Search", "filled", _of("search", "filled")),
    Column("Search", "seconds", _of("search", "seconds", 1)),
    Column("Search", "cost percentile", _percentile),
)
"""How the search went."""


def html_table(rows: Sequence[Row], columns: Sequence[Column], identifier: str) -> str:
    """The table for the page, with a row of shared headings."""
    groups = [(name, len(list(found))) for name, found in groupby(columns, key=lambda column: column.group)]
    starts = {sum(width for _, width in groups[:i]) for i in range(len(groups))}
    first = "".join(
        f'<th scope="colgroup" class="start" colspan="{width}">{escape(name)}</th>' for name, width in groups
    )
    marks = ['class="start"' if i in starts else "" for i in range(len(columns))]
    second = "".join(
        f'<th scope="col" {mark}>{escape(column.title)}</th>' for column, mark in zip(columns, marks, strict=True)
    )
    body = ""
    for row in rows:
        cells = "".join(
            f"<td {mark}>{escape(column.text(row))}</td>" for column, mark in zip(columns, marks, strict=True)
        )
        body += f'<tr><th scope="row">{escape(row.name)}</th>{cells}</tr>'
    return (
        f'<div class="scroll"><table class="grouped" id="{identifier}"><thead><tr><th rowspan="2" scope="col">row</th>'
        f"{first}</tr><tr>{second}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def markdown_table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The same in Markdown."""
    alone = {name for name, found in groupby(columns, key=lambda column: column.group) if len(list(found)) == 1}
    heads = [column.title if column.group == "Constraints" else _head(column, alone) for column in columns]
    return table(["row", *heads], ([row.name, *(column.text(row) for column in columns)] for row in rows))


def csv_text(rows: Sequence[Row]) -> str:
    """All numbers of the rows, not rounded; empty where there is none."""
    lines = [_values(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _head(column: Column, alone: set[str]) -> str:
    return f"{column.group}: {column.title}" if column.group not in alone or column.title != "paper" else column.group


def _values(row: Row) -> dict[str, Any]:
    record, (low, high) = row.record, row.record.attainable
    found: dict[str, Any] = {
        "row": row.name,
        "encoder_blocks": sum(row.parts[:3]),
        "decoder_blocks": row.parts[3],
        "decoder_channels": row.channels,
        "max_gflops": record.max_gflops,
        "attainable_low_gflops": low,
        "attainable_high_gflops": high,
        "paper_trained": record.paper.get("trained"),
        "paper_ssim": row.paper_ssim,
        "paper_gflops": row.paper_gflops,
    }
    supernet = ("status", "steps", "seconds", "largest_gradient_norm", "inverted", "step", "reason")
    found |= {f"supernet_{key}": record.supernet.get(key) for key in supernet}
    search = ("evaluated", "duplicates", "infeasible", "filled", "cost_percentile", "seconds")
    found["inherited_ssim_search_pairs"] = row.inherited
    found |= {f"search_{key}": record.search.get(key) for key in search}
    for name in (FOUND, RANDOM, PLAIN):
        network, model = row.networks.get(name), row.model(name)
        found[f"{name}_gflops"] = row.gflops(name)
        found[f"{name}_params"] = None if network is None else network.params
        found[f"{name}_ssim_validation_pairs"] = None if model is None else model.ssim
        found[f"{name}_ssim_sd"] = None if model is None else model.sd("ssim")
        found[f"{name}_seeds"] = None if model is None else len(model.by_seed("ssim"))
        found[f"{name}_diverged"] = None if network is None else len(network.diverged)
    return found
