"""What an evaluation leaves behind: a JSON file, a CSV per protocol, and a page of tables and curves."""

import csv
import io
import json
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lightning_mm.errors import InputError
from lightning_mm.evaluation.methods import title
from lightning_mm.runs import write_text_atomically

RESULT_FILE, PAGE_FILE = "evaluation.json", "evaluation.html"
_METRICS = {"ssim": "SSIM", "psnr": "PSNR [dB]", "lpips": "LPIPS"}
# Of Okabe and Ito, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_TITLES = {
    "subpixel": ("Subpixel test: motion magnified to 10 px", "motion", "motion in the input [px], log scale"),
    "noise_0.05px": ("Noise test: 0.05 px magnified to 10 px", "noise", "noise factor, log scale"),
    "noise_5px": ("Noise test: 5 px magnified to 10 px", "noise", "noise factor, log scale"),
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
        for method, values in one["methods"].items():
            table.add_row(title(method), *(_with_error(values, metric) for metric in _METRICS))
        console.print(table)
        for metric, reason in one["absent"].items():
            console.print(f"{metric} absent: {reason}")
        for metric, text in one["definitions"].items():
            console.print(f"{metric}: {text}", highlight=False)
    for name, rows in result["curves"].items():
        heading, key, _ = _TITLES[name]
        points = sorted({row[key] for row in rows})
        shown = [points[0], points[len(points) // 2], points[-1]]
        table = Table(title=f"{heading}, SSIM", title_justify="left", box=box.SIMPLE_HEAD)
        for head in ("method", *(f"{key} {point:.3g}" for point in shown)):
            table.add_column(head, justify="left" if head == "method" else "right")
        for method in dict.fromkeys(row["method"] for row in rows):
            found = {row[key]: row["ssim"] for row in rows if row["method"] == method}
            table.add_row(title(method), *(f"{found[point]:.4f}" for point in shown))
        console.print(table)


def page(result: dict[str, Any]) -> str:
    """The HTML page; it needs no network."""
    import plotly.graph_objects as go
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    parts = ["<h1>Evaluation</h1>", f"<p>{escape(_provenance(result))}</p>"]
    parts += [_html_table(name, one) for name, one in result["sets"].items()]
    for name, rows in result["curves"].items():
        heading, key, axis = _TITLES[name]
        figure = go.Figure()
        for number, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
            own = [row for row in rows if row["method"] == method]
            figure.add_scatter(
                x=[row[key] for row in own],
                y=[row["ssim"] for row in own],
                error_y={"type": "data", "array": [row["ssim_error"] or 0.0 for row in own], "thickness": 1},
                name=title(method),
                mode="lines+markers",
                line={"color": _COLOURS[number % len(_COLOURS)]},
            )
        figure.update_xaxes(type="log", title=axis)
        figure.update_yaxes(title="SSIM, mean and its standard error")
        figure.update_layout(height=460, margin={"l": 60, "r": 20, "t": 20, "b": 50}, template="plotly_white")
        parts.append(f"<h2>{escape(heading)}</h2>")
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
    rows = "".join(
        f"<tr><td>{escape(title(method))}</td>"
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
