"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """A table, each line ended.

    Args:
        head: Titles of the columns.
        rows: Cells as plain text.
        numbers: Whether all columns but the first are aligned to the right.
    """
    rule = ["---", *["---:" if numbers else "---"] * (len(head) - 1)]
    lines = [map(as_cell, head), rule, *(map(as_cell, row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_cell(text: str) -> str:
    """Text in one line without what Markdown would take for a cell's end or a tag."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
