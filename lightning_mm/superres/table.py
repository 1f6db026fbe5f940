"""Table A1: the paper's figures beside ours, as Markdown and as a record."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lightning_mm.machine import hardware
from lightning_mm.markdown import markdown_table
from lightning_mm.removal.record import MARKS, mark_of
from lightning_mm.runs import git_commit, package_versions, write_text_atomically
from lightning_mm.superres.data import ScaleDataModule
from lightning_mm.superres.mdsr import SCALES
from lightning_mm.superres.spec import SuperResolutionSpec
from lightning_mm.superres.stages import REFERENCE, Row
from lightning_mm.superres.task import PSNR_DEFINITION

RECORD_FILE, TABLE_FILE = "table_a1.json", "table_a1.md"
LABELS = {REFERENCE: "MDSR", "encoder": "- Encoder", "decoder": "- Decoder"}
PAPER = {
    REFERENCE: {"psnr": {"x2": 35.61, "x3": 31.65, "x4": 29.57}, "params": 3.23e6},
    "encoder": {"psnr": {"x2": 35.61, "x3": 31.64, "x4": 29.57}, "params": 2.00e6},
    "decoder": {"psnr": {"x2": 34.93, "x3": 31.02, "x4": 28.99}, "params": 2.05e6},
}
"""Table A1; PSNR in dB. The paper names neither the images nor how it counts PSNR."""

_NAMES = [f"x{scale}" for scale in SCALES]


def write_table(spec: SuperResolutionSpec, rows: dict[str, Row], directory: Path) -> dict[str, Any]:
    """Write ``table_a1.json`` and ``table_a1.md``.

    Args:
        spec: What was trained.
        rows: By part, and ``REFERENCE``.
        directory: Where to.

    Returns:
        The record.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = {
        "rows": {name: {**asdict(row), "mark": mark(row)} for name, row in rows.items()},
        "paper": PAPER,
        "settings": spec.to_dict(),
        "psnr": PSNR_DEFINITION,
        "validation": ScaleDataModule(spec.data, spec.seed).validation_identity(),
        "hardware": hardware(device),
        "versions": package_versions(),
        "platform": platform.platform(),
        "commit": git_commit(),
    }
    write_text_atomically(directory / RECORD_FILE, json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_text_atomically(directory / TABLE_FILE, markdown(record))
    return record


def mark(row: Row) -> str:
    """The paper's marks: "x" all components removed, "triangle" some survive, "-" all survive."""
    return mark_of(len(row.removed), len(row.omega))


def markdown(record: dict[str, Any]) -> str:
    """The table, ours and the paper's, each with differences to its own reference where they show."""
    rows, settings, images = record["rows"], record["settings"], record["validation"]
    shown = [f"{name[1]}x" for name in _NAMES]
    columns = ["model", "blocks removed", *shown, "params [M]", *(f"paper {s}" for s in shown), "paper params [M]"]
    lines = []
    bicubic = [f"{rows[REFERENCE]['bicubic'][name]:.2f}" for name in _NAMES]
    lines.append(["bicubic", "", *bicubic, *[""] * (len(columns) - 2 - len(bicubic))])
    for name, row in rows.items():
        removed = f"{row['mark']} ({len(row['removed'])} of {len(row['omega'])})" if row["omega"] else ""
        ours = _cells(row, rows[REFERENCE])
        lines.append([LABELS[name], removed, *ours, *_cells(record["paper"][name], record["paper"][REFERENCE])])
    about = [
        f"PSNR: {record['psnr']}.",
        f"Ours is measured on {images['images']} images of {images['size']} px ({images['name']}, {images['digest']}); "
        "the paper names no images: compare differences, not levels.",
        f"Every row was trained for {rows[REFERENCE]['steps']:,} steps, the reference too, with one seed: how "
        "far chance moves a difference is not measured.",
        f"Blocks: {', '.join(f'{sign} {meaning}' for sign, meaning in MARKS.items())}.",
        f"Settings, versions and hardware: {RECORD_FILE}.",
    ]
    title = "# Table A1: the removal tool on a super-resolution network"
    return "\n".join([title, "", settings["description"], "", markdown_table(columns, lines), " ".join(about)]) + "\n"


def _cells(row: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """PSNR at each scale and parameters, with differences as Table A1 prints them: none where they round to zero."""
    cells: list[str] = []
    for name in _NAMES:
        value, difference = row["psnr"][name], round(row["psnr"][name] - reference["psnr"][name], 2)
        cells.append(f"{value:.2f}" + (f" ({difference:+.2f})" if difference else ""))
    share = round(100.0 * (row["params"] / reference["params"] - 1.0), 1)
    return [*cells, f"{row['params'] / 1e6:.2f}" + (f" ({share:+.1f}%)" if share else "")]
