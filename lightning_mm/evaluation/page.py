"""The page of an evaluation: one HTML file that needs no network."""

import base64
import io
from html import escape
from typing import Any

from PIL import Image

from lightning_mm.evaluation.figures import FIGURES
from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.protocol import Record, Shown
from lightning_mm.reporting.html import definitions_section, document
from lightning_mm.reporting.plot import plot

_LONG = 40
"""Cells with more characters are sentences, which are broken into lines."""


def page(result: dict[str, Any], records: dict[str, Record]) -> str:
    """The whole page.

    Args:
        result: As ``run_protocols`` returns it, plain JSON.
        records: By protocol.
    """
    names = ", ".join(titles(result["methods"]).values())
    head = f"<header><p class=kicker>Quality protocols</p><h1>Evaluation</h1><p class=lead>{escape(names)}</p></header>"
    sections = [_section(name, record) for name, record in records.items()]
    rows = [*_weights(result), *_provenance(result), *((name.upper(), t) for name, t in result["definitions"].items())]
    return document("Evaluation", "\n".join([head, *sections, definitions_section(rows)]))


def _section(name: str, record: Record) -> str:
    parts = [f'<section id="{name}"><h2>{escape(record.heading)}</h2><p>{escape(record.about)}</p>']
    figures = FIGURES[name](record) if name in FIGURES else []
    parts += [plot(figure, f"{name}-{number}") for number, figure in enumerate(figures)]
    parts += [_table(shown) for shown in record.shown]
    for title, picture in record.pictures.items():
        content = base64.b64encode(png(picture)).decode("ascii")
        image = f'<img alt="{escape(title)}" style="max-width:100%" src="data:image/png;base64,{content}">'
        parts.append(f"<figure><figcaption class=small>{escape(title)}.png</figcaption>{image}</figure>")
    shown = titles(record.left_out)
    parts += [
        f"<p class=small>{escape(shown[what])} absent: {escape(why)}</p>" for what, why in record.left_out.items()
    ]
    return "".join([*parts, "</section>"])


def png(picture: Any) -> bytes:
    """A picture, uint8 RGB (H, W, 3), as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG", optimize=True)
    return content.getvalue()


def _table(shown: Shown) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in shown.columns)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in shown.rows)
    caption = f"<p class=small>{escape(shown.title)}</p>"
    return f'{caption}<div class="scroll"><table class="plain numbers"><tr>{head}</tr>{body}</table></div>'


def _cell(text: str) -> str:
    return f"<td{' class=words' if len(text) > _LONG else ''}>{escape(text)}</td>"


def _weights(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"Weights {name}", f"digest {digest}") for name, digest in result["weights"].items()]


def _provenance(result: dict[str, Any]) -> list[tuple[str, str]]:
    hardware, settings = result["hardware"], result["settings"]
    where = hardware["processor"] if hardware["device"] == "cpu" else hardware["device"]
    shown = ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
    return [
        ("Settings", shown),
        ("Hardware", f"{where}, {hardware['precision']}, torch {result['versions']['torch']}"),
        ("Commit", result["commit"] or "not a checkout"),
    ]
