"""The figures of protocols, drawn from their tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from lightning_mm.evaluation.linearity import TARGET
from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.protocol import Record, Row
from lightning_mm.evaluation.stored import LEVELS
from lightning_mm.evaluation.vibration import INPUT
from lightning_mm.reporting.style import INK, MUTED, SERIES_COLORS, layout, log_ticks

SSIM = "SSIM, mean and its standard error"


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        key: Column of the table.
        title: What is written beside it.
        kind: "linear" or "log".
    """

    key: str
    title: str
    kind: str = "linear"


def series(
    rows: Sequence[Row],
    x: Axis,
    y: Axis,
    mode: str = "lines+markers",
    exact: bool = False,
    called: Mapping[str, str] | None = None,
) -> go.Figure:
    """A line for each method of a table.

    Args:
        rows: The table; rows without a value are left out. A column "KEY_error" gives error bars.
        x: What lies on the horizontal axis.
        y: What lies on the vertical one.
        mode: Plotly's: lines, markers or both.
        exact: Whether to draw the line on which both are equal.
        called: What methods are called, where that is not as in tables.
    """
    figure = go.Figure(layout=layout(440, right=24, top=70))
    names = titles(dict.fromkeys(row["method"] for row in rows))
    names |= {method: called[method] for method in names if called and method in called}
    for color, (method, name) in zip(_colors(names), names.items(), strict=True):
        own = [row for row in rows if row["method"] == method and row[y.key] is not None]
        own = sorted(own, key=lambda row: row[x.key])
        errors = [row.get(f"{y.key}_error") or 0.0 for row in own]
        bars = {"error_y": {"type": "data", "array": errors, "thickness": 1}} if any(errors) else {}
        figure.add_scatter(
            x=[row[x.key] for row in own], y=[row[y.key] for row in own], name=escape(name, quote=False), mode=mode,
            line={"color": color, "width": 2}, marker={"color": color, "size": 6}, **bars,
        )  # fmt: skip
    if exact:
        ends = [min(row[x.key] for row in rows), max(row[x.key] for row in rows)]
        figure.add_scatter(x=ends, y=ends, mode="lines", name="exact", line={"color": MUTED, "dash": "dot"})
    for axis, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        update(type=axis.kind, title_text=axis.title, **(log_ticks() if axis.kind == "log" else {}))
    return figure


def _colors(names: dict[str, str]) -> list[str]:
    """Of the methods: what is no method is grey or ink."""
    plain = {TARGET: INK, INPUT: MUTED}
    free = [name for name in names if name not in plain]
    chosen = {name: SERIES_COLORS[place % len(SERIES_COLORS)] for place, name in enumerate(free)}
    return [(plain | chosen)[name] for name in names]


def _subpixel(record: Record) -> list[go.Figure]:
    motion = Axis("motion", "motion in the input [px], log scale", "log")
    return [series(record.tables["subpixel"], motion, Axis("ssim", SSIM))]


def _noise(record: Record) -> list[go.Figure]:
    figures = []
    for name, rows in record.tables.items():
        title = f"noise factor, log scale; {name.removeprefix('noise_').removesuffix('px')} px magnified to 10 px"
        figures.append(series(rows, Axis("noise", title, "log"), Axis("ssim", SSIM)))
    return figures


def _linearity(record: Record) -> list[go.Figure]:
    expected = "alpha times the amplitude in the input [px]"
    clips = series(
        record.tables["linearity_clips"],
        Axis("expected", expected),
        Axis("measured", "fitted amplitude [px], mean and its standard error"),
        exact=True,
    )
    pairs = series(
        record.tables["linearity"],
        Axis("expected", "alpha times the motion in the input [px], log scale", "log"),
        Axis("measured", "measured motion [px], log scale", "log"),
        "markers",
        exact=True,
    )
    return [clips, pairs]


def _modes(record: Record) -> list[go.Figure]:
    figures = []
    for mode in dict.fromkeys(row["mode"] for row in record.tables["modes"]):
        expected = Axis("expected", f"{mode}: amplitude that is due [px], log scale", "log")
        rows = [row for row in record.tables["modes"] if row["mode"] == mode]
        figures.append(series(rows, expected, Axis("measured", "fitted amplitude [px], log scale", "log"), exact=True))
    return figures


def _vibration(record: Record) -> list[go.Figure]:
    figure = series(
        record.tables["vibration_waveforms"],
        Axis("time_s", "time [s]"),
        Axis("measured", "tracked displacement [px]"),
        "lines",
    )
    figure.update_traces(line={"width": 2.5, "dash": "dot"}, selector={"name": TARGET})
    return [figure]


def _footage(record: Record) -> list[go.Figure]:
    rows = record.tables["footage_waveforms"]
    return [series(rows, Axis("time_s", "time [s]"), Axis("measured", "displacement of the region [px]"), "lines")]


def _copying(record: Record) -> list[go.Figure]:
    rows = [row for row in record.tables.get("copying", []) if row["motion"] is not None]
    if not rows:
        return []
    motion = Axis("motion", "motion in the input [px], log scale", "log")
    figure = series(rows, motion, Axis("projection", "projection: 0 a copy of frame B, 1 the target"))
    for level in (0.0, 1.0):
        figure.add_hline(y=level, line={"color": MUTED, "dash": "dot", "width": 1.2}, layer="below")
    return [figure]


def _stored(record: Record) -> list[go.Figure]:
    figures = []
    for test in dict.fromkeys(row["test"] for row in record.tables["stored"]):
        rows = [row for row in record.tables["stored"] if row["test"] == test]
        named = escape(test, quote=False)
        axis = Axis("mode", f"mode of the stored test “{named}”")
        if test in LEVELS and all(row["level"] is not None for row in rows):
            axis = Axis("level", f"{LEVELS[test]} in the stored test “{named}”, log scale", "log")
        figures.append(series(rows, axis, Axis("ssim", SSIM)))
    return figures


FIGURES: dict[str, Callable[[Record], list[go.Figure]]] = {
    "subpixel": _subpixel,
    "noise": _noise,
    "linearity": _linearity,
    "modes": _modes,
    "vibration": _vibration,
    "copying": _copying,
    "footage": _footage,
    "stored": _stored,
}
"""By protocol; the others have tables and pictures alone."""
