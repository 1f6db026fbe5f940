"""What an evaluation leaves behind: a JSON file, a CSV for each table, pictures, and a page."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.evaluation.page import page, png
from lightning_mm.evaluation.protocol import Record, Row
from lightning_mm.runs import atomic_file

RESULT_FILE, PAGE_FILE = "evaluation.json", "evaluation.html"


def plain(record: Record) -> dict[str, Any]:
    """A record as plain JSON: its numbers, and the names of its pictures' files."""
    return {
        "settings": record.settings,
        "summary": record.summary,
        "left_out": record.left_out,
        "tables": record.tables,
        "pictures": [f"{name}.png" for name in record.pictures],
    }


def write(result: dict[str, Any], records: dict[str, Record], folder: Path) -> list[Path]:
    """Write all files.

    Args:
        result: As ``run_protocols`` returns it, plain JSON.
        records: By protocol.
        folder: Made where it is missing; files in it are replaced, each whole or not at all.

    Returns:
        The files.

    Raises:
        InputError: The folder cannot be written.
    """
    texts = {RESULT_FILE: json.dumps(result, indent=2, allow_nan=False) + "\n", PAGE_FILE: page(result, records)}
    contents = {name: text.encode() for name, text in texts.items()}
    for record in records.values():
        contents |= {f"{name}.csv": csv_text(rows).encode() for name, rows in record.tables.items()}
        contents |= {f"{name}.png": png(picture) for name, picture in record.pictures.items()}
    try:
        for name, content in contents.items():
            with atomic_file(folder / name) as file:
                file.write(content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    return [folder / name for name in contents]


def csv_text(rows: list[Row]) -> str:
    """Rows as CSV, the keys of the first as header; an empty cell is a number that does not exist."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
