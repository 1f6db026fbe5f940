"""A table at a glance: differences from its reference row, and SSIM against speed; ours beside the paper's."""

from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lightning_mm.reporting.reproduction.rows import Table, TableRow
from lightning_mm.reporting.style import BLUE, GRID, INK, LINE, MUTED, PAPER_COLOR, layout, padded

OURS, PAPERS = "ours, 95 % interval over seeds", "paper's"
_ROW_HEIGHT, _LEFT = 46, 240


def differences(table: Table, metric: str = "ssim") -> go.Figure | None:
    """Difference of each row from the reference, ours with its interval and the paper's; ``None`` without any."""
    ours = [(row, d) for row in table.rows if (d := table.difference(row, metric)) is not None]
    papers = [(row, d) for row in table.rows if (d := table.printed_difference(row, metric)) is not None]
    if not ours and not papers:
        return None
    shown = [row for row in table.rows if any(row is other for other, _ in [*ours, *papers])]
    names = [_name(row) for row in shown]
    figure = go.Figure(layout=layout(_ROW_HEIGHT * len(shown) + 120, right=40, left=_LEFT, top=40, bottom=56))
    places = {name: number for number, name in enumerate(names)}
    low = [d.value - d.low if d.low is not None else 0.0 for _, d in ours]
    high = [d.high - d.value if d.high is not None else 0.0 for _, d in ours]
    figure.add_scatter(
        x=[d.value for _, d in ours],
        y=[places[_name(row)] - 0.12 for row, _ in ours],
        error_x={
            "array": high,
            "arrayminus": low,
            "symmetric": False,
            "thickness": 2,
            "width": 6,
            "color": BLUE,
        },
        **_markers(OURS if any(high) else "ours, one seed", BLUE, "circle"),
        hovertext=[f"{_name(row)}: {d.value:+.4f}" for row, d in ours],
    )
    figure.add_scatter(
        x=[value for _, value in papers],
        y=[places[_name(row)] + 0.12 for row, _ in papers],
        **_markers(PAPERS, PAPER_COLOR, "diamond"),
        hovertext=[f"{_name(row)}: {value:+.3f}" for row, value in papers],
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1.2}, layer="below")
    ends = [value for _, value in papers] + [
        end for _, d in ours for end in (d.value, d.low, d.high) if end is not None
    ]
    better = "to the right is better" if metric == "ssim" else "to the left is better"
    figure.update_xaxes(title_text=f"{metric.upper()} minus reference row ({better})", range=padded([*ends, 0.0], 1e-3))
    figure.update_yaxes(
        tickvals=list(places.values()), ticktext=names, range=[len(names) - 0.5, -0.5], ticks="", showgrid=True
    )
    return figure


def speed(table: Table) -> go.Figure | None:
    """SSIM against frames per second, ours in the left panel and the paper's in the right; ``None`` without either."""
    ours = [
        (row, row.fps["fps"], row.model.ssim)
        for row in table.rows
        if row.fps is not None and row.model is not None and row.model.ssim is not None
    ]
    papers = [
        (row, row.paper.fps, row.paper.ssim)
        for row in table.rows
        if row.paper.fps is not None and row.paper.ssim is not None
    ]
    if len(ours) < 2 or len(papers) < 2:
        return None
    titles = [f"ours: {table.made.speeds.width} x {table.made.speeds.height} px", "paper's: 1920 x 1080 px, RTX 3090"]
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.12)
    figure.update_layout(layout(430, right=30, top=60, bottom=56))
    for column, (points, color) in enumerate(((ours, BLUE), (papers, PAPER_COLOR)), start=1):
        spread = {}
        if column == 1 and any(row.model is not None and row.model.sd("ssim") is not None for row, *_ in points):
            sds = [row.model.sd("ssim") if row.model is not None else None for row, *_ in points]
            spread = {"error_y": {"array": sds, "thickness": 1.2, "width": 4, "color": color}}
        figure.add_scatter(
            x=[x for _, x, _ in points],
            y=[y for _, _, y in points],
            row=1,
            col=column,
            mode="lines+markers+text",
            line={"color": LINE, "width": 1},
            marker={"color": color, "size": 10},
            text=[str(table.rows.index(row) + 1) for row, *_ in points],
            textposition="top center",
            textfont={"size": 12, "color": MUTED},
            hoverinfo="text",
            hovertext=[f"{_name(row)}: {x:.3g} FPS, SSIM {y:.4f}" for row, x, y in points],
            showlegend=False,
            **spread,
        )
    axis = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": LINE, "ticks": "outside"}
    figure.update_xaxes(title_text="frames per second", rangemode="tozero", **axis)
    figure.update_yaxes(title_text="SSIM", tickformat=".3~f", **axis)
    return figure


def speed_key(table: Table) -> str:
    """Which number in ``speed`` stands for which row."""
    return "; ".join(f"{number} {row.row.label}" for number, row in enumerate(table.rows, start=1) if row.paper.ssim)


def _name(row: TableRow) -> str:
    return escape(row.row.label, quote=False)


def _markers(name: str, color: str, symbol: str) -> dict[str, Any]:
    return {
        "mode": "markers",
        "name": name,
        "marker": {"color": color, "symbol": symbol, "size": 10},
        "hoverinfo": "text",
        "showlegend": True,
    }
