"""The page's small figures: progress of the search, importances, and differences from the hand-designed model."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from lightning_mm.reporting.comparison import Comparison
from lightning_mm.reporting.progress import Progress
from lightning_mm.reporting.style import BLUE, INK, MUTED, layout, padded
from lightning_mm.runs import ARCH_PREFIX

PROGRESS_HEIGHT, ROW_HEIGHT = 360, 30
MAX_COMPARED = 40
"""Differences of this many models are drawn, those of the highest mean SSIM; the table has all."""


def progress_figure(found: Progress, level: tuple[str, float] | None = None) -> go.Figure:
    """What the search had found against the compute spent, as steps.

    Args:
        found: The values.
        level: Label and value of a horizontal line for orientation.
    """
    scale, unit = _time_scale(found.seconds[-1])
    figure = go.Figure(layout=layout(PROGRESS_HEIGHT, right=150, top=24))
    known = [(s, v, r) for s, v, r in zip(found.seconds, found.values, found.records, strict=True) if v is not None]
    marks = {True: ("circle", BLUE), False: ("x", MUTED)}
    size = 7 if len(known) <= 200 else 3
    figure.add_scatter(
        x=[s / scale for s, _, _ in known],
        y=[value for _, value, _ in known],
        mode="lines+markers",
        line={"shape": "hv", "color": BLUE, "width": 2},
        marker={
            "opacity": 1,
            "symbol": [marks[record.is_complete][0] for _, _, record in known],
            "color": [marks[record.is_complete][1] for _, _, record in known],
            "size": [size if record.is_complete else size + 2 for _, _, record in known],
        },
        hoverinfo="text",
        hovertext=[
            f"<b>{escape(record.label, quote=False)}</b> ({record.state})<br>{found.title} {value:.4f}"
            for _, value, record in known
        ],
        showlegend=False,
    )
    values = [value for _, value, _ in known]
    if level is not None:
        label, at = level
        figure.add_hline(y=at, line={"color": INK, "dash": "dash", "width": 1.4}, layer="below")
        figure.add_annotation(
            x=1, xref="paper", y=at, xanchor="left", xshift=8, text=f"{escape(label, quote=False)}<br>{at:.4f}",
            align="left", showarrow=False, font={"size": 12},
        )  # fmt: skip
        values.append(at)
    title = f"compute spent on trials [{unit}], in order of their end"
    figure.update_xaxes(title_text=title, range=[0, 1.03 * found.seconds[-1] / scale])
    figure.update_yaxes(title_text=found.title, range=padded(values, least=1e-3), nticks=7, exponentformat="e")
    return figure


def importance_figure(shares: dict[str, float]) -> go.Figure:
    """One bar per hyperparameter, the most important on top."""
    names = [escape(key.removeprefix(ARCH_PREFIX), quote=False) for key in shares]
    figure = go.Figure(layout=layout(ROW_HEIGHT * len(names) + 90, right=60, left=190, top=16, bottom=50))
    figure.add_bar(
        x=list(shares.values()), y=names, orientation="h", marker={"color": BLUE}, width=0.62, hoverinfo="skip",
        text=[f"{100 * value:.0f} %" for value in shares.values()], textposition="outside", cliponaxis=False,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", ticks="", showgrid=False)
    figure.update_xaxes(title_text="share of importance", range=[0, 1.05 * max(shares.values())], tickformat=".0%")
    return figure


def comparison_figure(comparisons: Sequence[Comparison]) -> go.Figure | None:
    """Difference of mean SSIM from the hand-designed model with its interval, one row per model.

    Returns:
        The figure, or ``None`` where there is no difference to draw.
    """
    shown = [(item.model.label, d) for item in comparisons if (d := item.difference) is not None][:MAX_COMPARED]
    if not shown:
        return None
    figure = go.Figure(layout=layout(ROW_HEIGHT * len(shown) + 100, right=40, left=190, top=20, bottom=56))
    for with_interval, name, symbol in (
        (True, "95 % interval", "circle"),
        (False, "too few seeds for an interval", "circle-open"),
    ):
        rows = [(label, d) for label, d in shown if (d.low is not None) is with_interval]
        if not rows:
            continue
        bars = {}
        if with_interval:
            half = [(d.high or 0.0) - d.value for _, d in rows]
            bars = {"error_x": {"array": half, "thickness": 2, "width": 6, "color": INK}}
        figure.add_scatter(
            x=[d.value for _, d in rows], y=[escape(label, quote=False) for label, _ in rows],
            mode="markers", name=name, showlegend=True,
            marker={"symbol": symbol, "size": 10, "color": BLUE if with_interval else MUTED, "line": {"width": 1.5}},
            hoverinfo="text", hovertext=[f"{escape(label, quote=False)}: {d.value:+.4f}" for label, d in rows], **bars,
        )  # fmt: skip
    ends = [end for _, d in shown for end in (d.value, d.low, d.high) if end is not None]
    figure.add_vline(x=0, line={"color": INK, "width": 1.2}, layer="below")
    figure.update_yaxes(
        categoryorder="array", categoryarray=[escape(label, quote=False) for label, _ in shown], autorange="reversed",
        ticks="", type="category",
    )  # fmt: skip
    figure.update_xaxes(
        title_text="SSIM minus hand-designed (to the right is better)", range=padded([*ends, 0.0], least=1e-3)
    )
    figure.update_layout(legend={"y": 1.0})
    return figure


def _time_scale(seconds: float) -> tuple[float, str]:
    return (1, "s") if seconds < 300 else (60, "min") if seconds < 3 * 3600 else (3600, "h")
