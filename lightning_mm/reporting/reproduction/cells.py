"""A table's cells as text, and from them Markdown, HTML and CSV."""

import csv
import io
from collections.abc import Callable
from html import escape

from lightning_mm.markdown import markdown_table
from lightning_mm.removal.record import Removal
from lightning_mm.reporting.comparison import Difference
from lightning_mm.reporting.reproduction.rows import Table, TableRow, printed
from lightning_mm.reporting.run import DASH, signed

PAPER = " (paper)"
_Cell = Callable[[Table, TableRow], str | None]


def columns(table: Table) -> dict[str, list[str]]:
    """Every column that holds anything: its header to its cells, in the order of the rows."""
    found: dict[str, list[str]] = {"": [row.row.label for row in table.rows]}
    for header, cell in _COLUMNS.items():
        values = [cell(table, row) for row in table.rows]
        if any(value is not None for value in values):
            found[header] = [DASH if value is None else value for value in values]
    return found


def markdown(table: Table) -> str:
    """The table in Markdown."""
    found = columns(table)
    return markdown_table([*found], zip(*found.values(), strict=True), numbers=True)


def html(table: Table) -> str:
    """The table in HTML; the paper's columns are set apart."""
    found = columns(table)
    kinds = ["paper" if header.endswith(PAPER) else "" for header in found]
    head = "".join(f'<th scope="col" class="{kind}">{escape(h)}</th>' for h, kind in zip(found, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td class={kind!r}>{escape(c)}</td>' for c, kind in zip(cells, kinds, strict=True))}</tr>"
        for cells in zip(*found.values(), strict=True)
    )
    return f'<div class="scroll"><table class="plain numbers" id="paper-table"><tr>{head}</tr>{body}</table></div>'


def as_csv(table: Table) -> str:
    """A line for each row and seed: what was measured, beside what the paper prints of the row.

    Steps and samples of a removal are those of its fine-tuning, behind "switch_steps" with switches.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = ("seed", "params", "paper_gflops", "ssim", "psnr", "lpips", "switch_steps", "steps", "samples", "fps")
    printed = ("params", "gflops", "ssim", "lpips", "fps")
    writer.writerow(["row", *measured, *(f"printed_{name}" for name in printed)])
    for row in table.rows:
        its = [_plain(getattr(row.paper, name)) for name in printed]
        for run in row.model.runs if row.model is not None else [None]:
            ours = [""] * len(measured)
            if run is not None:
                results = run.results
                metrics = [_plain(run.metric(name), 6) for name in ("ssim", "psnr", "lpips")]
                budget = [str(results.budget.get(name, "")) for name in ("steps", "samples")]
                cost = [str(results.cost["params"]), f"{results.cost['paper_flops'] / 1e9:.3f}"]
                switched = str(Removal.read(run.path).steps if row.row.kind == "removal" else 0)
                ours = [str(run.seed), *cost, *metrics, switched, *budget, f"{row.fps['fps']:.4g}" if row.fps else ""]
            writer.writerow([row.name, *ours, *its])
    return text.getvalue()


def _plain(value: float | None, digits: int | None = None) -> str:
    return "" if value is None else f"{value:g}" if digits is None else f"{value:.{digits}f}"


def _interval(difference: Difference | None, digits: int = 4) -> str | None:
    if difference is None:
        return None
    said = signed(difference.value, digits)
    if difference.low is None or difference.high is None:
        return said
    return f"{said} ({signed(difference.low, digits)} to {signed(difference.high, digits)})"


def _ours(metric: str) -> _Cell:
    def cell(table: Table, row: TableRow) -> str | None:
        if row.model is None:
            return "; ".join(row.absent) or None
        return None if row.model.mean(metric) is None else row.model.text(metric, 4)

    return cell


def _minus(metric: str) -> _Cell:
    return lambda table, row: _interval(table.difference(row, metric))


def _printed(name: str, form: str) -> _Cell:
    def cell(table: Table, row: TableRow) -> str | None:
        value = getattr(row.paper, name)
        return None if value is None else format(value, form)

    return cell


def _printed_minus(metric: str) -> _Cell:
    def cell(table: Table, row: TableRow) -> str | None:
        value = table.printed_difference(row, metric)
        return None if value is None else printed(value)

    return cell


def _params(table: Table, row: TableRow) -> str | None:
    counts = [] if row.model is None else sorted({run.results.cost["params"] / 1e3 for run in row.model.runs})
    return _range(counts, 1)


def _gflops(table: Table, row: TableRow) -> str | None:
    costs = [] if row.model is None else sorted({run.results.cost["paper_flops"] / 1e9 for run in row.model.runs})
    return _range(costs, 2)


def _range(values: list[float], digits: int) -> str | None:
    """One value, or the ends where seeds differ, as removals can."""
    if not values:
        return None
    ends = dict.fromkeys(f"{value:,.{digits}f}" for value in (values[0], values[-1]))
    return f" {DASH} ".join(ends)


def _fps(table: Table, row: TableRow) -> str | None:
    return None if row.fps is None else f"{row.fps['fps']:.3g}"


_COLUMNS: dict[str, _Cell] = {
    "removed": lambda table, row: row.removed,
    f"removed{PAPER}": lambda table, row: {"x": "all", "triangle": "some"}.get(row.paper.removed or ""),
    "params [K]": _params,
    f"params [K]{PAPER}": _printed("params", ",.0f"),
    "FLOPs [G]": _gflops,
    f"FLOPs [G]{PAPER}": _printed("gflops", "g"),
    "FPS": _fps,
    f"FPS{PAPER}": _printed("fps", ".1f"),
    "SSIM": _ours("ssim"),
    "SSIM minus reference": _minus("ssim"),
    f"SSIM{PAPER}": _printed("ssim", ".3f"),
    f"SSIM minus reference{PAPER}": _printed_minus("ssim"),
    "LPIPS": lambda table, row: None if row.model is None else _ours("lpips")(table, row),
    "LPIPS minus reference": _minus("lpips"),
    f"LPIPS{PAPER}": _printed("lpips", ".3f"),
    f"LPIPS minus reference{PAPER}": _printed_minus("lpips"),
}
