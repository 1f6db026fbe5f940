"""What an evaluation leaves behind: a JSON file, a CSV per protocol, and a page of tables and curves."""

import csv
import io
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lightning_mm.errors import InputError
from lightning_mm.evaluation.methods import titles
from lightning_mm.runs import write_text_atomically

RESULT_FILE, PAGE_FILE = "evaluation.json", "evaluation.html"
_METRICS = {"ssim": "SSIM", "psnr": "PSNR [dB]", "lpips": "LPIPS"}
# Of Okabe and Ito, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True)
class _Curve:
    """How a protocol's rows are drawn: what is on which axis."""

    heading: str
    x: str
    x_title: str
    y: str = "ssim"
    y_title: str = "SSIM, mean and its standard error"
    y_type: str = "linear"


_CURVES = {
    "subpixel": _Curve("Subpixel test: motion magnified to 10 px", "motion", "motion in the input [px], log scale"),
    "noise_0.05px": _Curve("Noise test: 0.05 px magnified to 10 px", "noise", "noise factor, log scale"),
    "noise_5px": _Curve("Noise test: 5 px magnified to 10 px", "noise", "noise factor, log scale"),
    "linearity": _Curve(
        "Linearity: how far the output has moved",
        *("expected", "alpha times the motion in the input [px], log scale"),
        *("measured", "measured motion [px], mean and its standard error", "log"),
    ),
}


def write(result: dict[str, Any], folder: Path) -> list[Path]:
    """Write all files.

    Args:
        result: As ``evaluate`` collects it, plain JSON.
        folder: Made where it is missing; files in it are replaced, each whole or not at all.

    Returns:
        The files.

    Raises:
        InputError: The folder cannot be written.
    """
    texts = {RESULT_FILE: json.dumps(result, indent=2, allow_nan=False) + "\n", PAGE_FILE: page(result)}
    if result["sets"]:
        rows = [
            {"set": name, "method": method, **values}
            for name, one in result["sets"].items()
            for method, values in one["methods"].items()
        ]
        texts["pairs.csv"] = _csv(rows)
    texts |= {f"{name}.csv": _csv(rows) for name, rows in result["curves"].items()}
    try:
        for name, text in texts.items():
            write_text_atomically(folder / name, text)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    return [folder / name for name in texts]


def print_tables(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the validation sets' tables, and each curve's ends and middle."""
    console = console or Console(soft_wrap=True)
    for name, one in result["sets"].items():
        identity = one["identity"]
        size = f"{identity['pairs']} pairs of {identity['height']} x {identity['width']} px"
        table = Table(title=f"{name}: {size} [{identity['digest']}]", title_justify="left", box=box.SIMPLE_HEAD)
        for head in ("method", *_METRICS.values()):
            table.add_column(head, justify="left" if head == "method" else "right")
        shown = titles(one["methods"])
        for method, values in one["methods"].items():
            table.add_row(shown[method], *(_with_error(values, metric) for metric in _METRICS))
        console.print(table)
        for metric, reason in one["absent"].items():
            console.print(f"{metric} absent: {reason}")
        for metric, text in one["definitions"].items():
            console.print(f"{metric}: {text}", highlight=False)
    for name, rows in result["curves"].items():
        console.print(_linearity_table(rows) if name == "linearity" else _curve_table(_CURVES[name], rows))


def _curve_table(curve: _Curve, rows: list[dict[str, Any]]) -> Table:
    points = sorted({row[curve.x] for row in rows})
    shown = [points[0], points[len(points) // 2], points[-1]]
    table = Table(title=f"{curve.heading}, SSIM", title_justify="left", box=box.SIMPLE_HEAD)
    for head in ("method", *(f"{curve.x} {point:.3g}" for point in shown)):
        table.add_column(head, justify="left" if head == "method" else "right")
    for method, name in titles(row["method"] for row in rows).items():
        found = {row[curve.x]: row["ssim"] for row in rows if row["method"] == method}
        table.add_row(name, *(f"{found[point]:.4f}" for point in shown))
    return table


def _linearity_table(rows: list[dict[str, Any]]) -> Table:
    methods = titles(row["method"] for row in rows)
    heading = f"{_CURVES['linearity'].heading} [px]; target: the tracker's own error"
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD)
    for head in ("motion", "alpha", "expected", *methods.values()):
        table.add_column(head, justify="right")
    for motion, alpha, expected in dict.fromkeys((row["motion"], row["alpha"], row["expected"]) for row in rows):
        found = {row["method"]: row["measured"] for row in rows if (row["motion"], row["alpha"]) == (motion, alpha)}
        cells = ("-" if found[method] is None else f"{found[method]:.3f}" for method in methods)
        table.add_row(f"{motion:g}", f"{alpha:g}", f"{expected:g}", *cells)
    return table


def page(result: dict[str, Any]) -> str:
    """The HTML page; it needs no network."""
    import plotly.graph_objects as go
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    parts = ["<h1>Evaluation</h1>", f"<p>{escape(_provenance(result))}</p>"]
    parts += [_html_table(name, one) for name, one in result["sets"].items()]
    for name, rows in result["curves"].items():
        curve = _CURVES[name]
        figure = go.Figure()
        for number, (method, shown) in enumerate(titles(row["method"] for row in rows).items()):
            own = sorted((row for row in rows if row["method"] == method), key=lambda row: row[curve.x])
            figure.add_scatter(
                x=[row[curve.x] for row in own],
                y=[row[curve.y] for row in own],
                error_y={"type": "data", "array": [row[f"{curve.y}_error"] or 0.0 for row in own], "thickness": 1},
                name=shown,
                mode="markers" if curve.y == "measured" else "lines+markers",
                marker={"color": _COLOURS[number % len(_COLOURS)]},
            )
        if curve.y == "measured":
            ends = [min(row["expected"] for row in rows), max(row["expected"] for row in rows)]
            figure.add_scatter(x=ends, y=ends, mode="lines", name="exact", line={"color": "#5c6675", "dash": "dot"})
        figure.update_xaxes(type="log", title=curve.x_title)
        figure.update_yaxes(type=curve.y_type, title=curve.y_title)
        figure.update_layout(height=460, margin={"l": 60, "r": 20, "t": 20, "b": 50}, template="plotly_white")
        parts.append(f"<h2>{escape(curve.heading)}</h2>")
        parts.append(to_html(figure, include_plotlyjs=False, full_html=False, config={"displaylogo": False}))
    parts += [f"<p class=small>{escape(metric)}: {escape(text)}</p>" for metric, text in result["definitions"].items()]
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;max-width:960px;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.3rem .9rem;border-bottom:1px solid #e8ebf0;text-align:right}"
        "td:first-child,th:first-child{text-align:left}.small{color:#5c6675;font-size:13px}"
    )
    head = f"<meta charset=utf-8><title>Evaluation</title><style>{style}</style><script>{get_plotlyjs()}</script>"
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>{''.join(parts)}</body></html>\n"


def _html_table(name: str, one: dict[str, Any]) -> str:
    identity = one["identity"]
    lead = f"{identity['pairs']} pairs of {identity['height']} x {identity['width']} px, {identity['name']}"
    head = "".join(f"<th>{label}</th>" for label in ("method", *_METRICS.values()))
    shown = titles(one["methods"])
    rows = "".join(
        f"<tr><td>{escape(shown[method])}</td>"
        + "".join(f"<td>{_with_error(values, metric)}</td>" for metric in _METRICS)
        + "</tr>"
        for method, values in one["methods"].items()
    )
    reasons = "".join(f"<p class=small>{m} absent: {escape(reason)}</p>" for m, reason in one["absent"].items())
    about = f"<p class=small>{escape(lead)}, digest {identity['digest']}; mean ± standard error over pairs</p>"
    return f"<h2>Validation set: {escape(name)}</h2>{about}<table><tr>{head}</tr>{rows}</table>{reasons}"


def _provenance(result: dict[str, Any]) -> str:
    hardware, settings = result["hardware"], result["settings"]
    where = hardware["processor"] if hardware["device"] == "cpu" else hardware["device"]
    scenes = f"{settings['samples']} scenes per level, {settings['size']} px, textured with {settings['textures']}"
    commit = f", commit {result['commit'][:12]}" if result["commit"] else ""
    return f"Curves: {scenes}. {where}, {hardware['precision']}, torch {result['versions']['torch']}{commit}."


def _with_error(values: dict[str, Any], metric: str) -> str:
    if metric not in values:
        return "-"
    digits = 2 if metric == "psnr" else 4
    error = values[f"{metric}_error"]
    return f"{values[metric]:.{digits}f}" + (f" ± {error:.{digits}f}" if error is not None else "")


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
