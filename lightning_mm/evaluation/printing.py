"""What an evaluation prints: the tables and a line of numbers for every method."""

from rich import box
from rich.console import Console
from rich.table import Table

from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.protocol import Record, Shown

_WIDTH = 140  # columns at least: where output goes to a file, there is no terminal whose width would count


def print_records(records: dict[str, Record], definitions: dict[str, str], console: Console | None = None) -> None:
    """Print each protocol's tables, what it left out, and its summary.

    Args:
        records: By protocol.
        definitions: Of the metrics.
        console: Where to; standard output when left out.
    """
    if console is None:
        console = Console(markup=False, highlight=False, soft_wrap=True)
        console.width = max(console.width, _WIDTH)
    for name, record in records.items():
        for shown in record.shown:
            console.print(_table(shown))
        for what, reason in record.left_out.items():
            console.print(f"{titles(record.left_out)[what]} absent: {reason}")
        for line in summary_lines(name, record):
            console.print(line)
    for metric, text in definitions.items():
        console.print(f"{metric}: {text}")


def summary_lines(protocol: str, record: Record) -> list[str]:
    """A line for each method: "PROTOCOL, METHOD: NUMBER VALUE, ...", counts as such."""
    names = titles(record.summary)
    return [
        f"{protocol}, {names[method]}: " + ", ".join(f"{key} {_text(value)}" for key, value in numbers.items())
        for method, numbers in record.summary.items()
    ]


def _text(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def _table(shown: Shown) -> Table:
    table = Table(title=shown.title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, column in enumerate(shown.columns):
        table.add_column(column, justify="right" if place else "left")
    for row in shown.rows:
        table.add_row(*row)
    return table
