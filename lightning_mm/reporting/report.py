"""The command ``lightning-mm report``."""

from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.table import print_table
from lightning_mm.runs import write_text_atomically

REPORT_FILE = "report.html"


def report(directory: Path, output: Path | None = None) -> Path:
    """Compare the runs below a directory: prints a table and writes one self-contained HTML page.

    Args:
        directory: Directory of a sweep, or any directory with runs below it (for example runs/smoke).
        output: File to write the page to; by default report.html in the directory.

    Returns:
        The page that was written.

    Raises:
        InputError: The directory is missing or holds no finished run, or the page cannot be written there.
    """
    sweep = collect(directory)
    path = directory / REPORT_FILE if output is None else output
    try:
        write_text_atomically(path, page(sweep))
    except OSError as error:
        raise InputError(f"{path}: cannot write the report there ({error.strerror})") from None
    print_table(sweep)
    print(f"Report: {path}")
    return path
