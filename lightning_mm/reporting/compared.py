"""Models beside the hand-designed one, for the page and for the terminal: the same cells and sentences."""

from collections.abc import Sequence
from html import escape

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_mm.reporting.comparison import Comparison, notes, sentences
from lightning_mm.reporting.figures import MAX_COMPARED, comparison_figure
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.run import DASH, signed

MAX_SENTENCES, MAX_ROWS = 8, 40
"""So many models are written about at once, and so many rows printed or shown without scrolling."""

_COLUMNS = ("model", "seeds", "SSIM", "SSIM minus hand-designed", "95 % interval", "by")
_COLUMNS += ("FLOPs [G]", "PSNR [dB]", "LPIPS")


def comparison_section(comparisons: Sequence[Comparison]) -> str:
    """The section of the page; empty where nothing is compared."""
    if not comparisons:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    body = ""
    for item in comparisons:
        kind = ' class="reference"' if item.is_reference else ""
        body += f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(item, " ± ")) + "</tr>"
    items = [f"<li>{escape(line)}</li>" for line in sentences(comparisons)]
    said = f'<ul class="outcome">{"".join(items[:MAX_SENTENCES])}</ul>'
    if len(items) > MAX_SENTENCES:
        rest = "".join(items[MAX_SENTENCES:])
        said += (
            f'<details><summary>{len(items) - MAX_SENTENCES} more</summary><ul class="outcome">{rest}</ul></details>'
        )
    how = "".join(f'<p class="small">{escape(note)}</p>' for note in notes(comparisons))
    figure = comparison_figure(comparisons)
    drawn = "" if figure is None else plot(figure, "comparison")
    if sum(item.difference is not None for item in comparisons) > MAX_COMPARED:
        drawn += (
            f'<p class="small">Drawn are the {MAX_COMPARED} models of the highest mean SSIM; the table has all.</p>'
        )
    tall = " tall" if len(comparisons) > MAX_ROWS else ""
    return (
        f'<section id="compared"><h2>Beside the hand-designed model</h2>{said}{drawn}'
        f'<div class="scroll{tall}"><table class="plain numbers"><tr>{head}</tr>{body}</table></div>{how}</section>'
    )


def print_comparison(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print the table and what it says to the terminal, of many models the best."""
    console.print(_table(comparisons[:MAX_ROWS]))
    found = sentences(comparisons)
    lines = found[:MAX_SENTENCES]
    if len(comparisons) > MAX_ROWS or len(found) > MAX_SENTENCES:
        lines.append("Of many models only the first are shown here; the page has all.")
    for line in [*lines, *notes(comparisons)]:
        console.print(Text(line))


def _table(comparisons: Sequence[Comparison]) -> Table:
    table = Table(title="beside the hand-designed model", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for item in comparisons:
        style = "bold" if item.is_reference else ""
        table.add_row(*(Text(cell) for cell in _cells(item, "\n±")), style=style)
    return table


def _cells(item: Comparison, between: str) -> list[str]:
    model, difference = item.model, item.difference
    seeds = ", ".join(map(str, model.seeds)) if len(model.seeds) <= 5 else f"{len(model.seeds)} seeds"
    outcome = ["reference" if item.is_reference else DASH, "", ""]
    if difference is not None:
        interval = "needs two seeds each"
        if difference.low is not None and difference.high is not None:
            interval = f"{signed(difference.low)} to {signed(difference.high)}"
        outcome = [signed(difference.value), interval, difference.method if difference.low is not None else DASH]
    return [
        model.label,
        f"{len(model.seeds)} ({seeds})" if len(model.seeds) <= 5 else seeds,
        model.text("ssim", 4, between),
        *outcome,
        DASH if model.gflops is None else f"{model.gflops:.2f}",
        *(model.text(name, digits, between) for name, digits in (("psnr", 2), ("lpips", 4))),
    ]
