"""The hyperparameters of the trials as parallel coordinates."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lightning_mm.reporting.axes import Axis, axis_of
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.style import MUTED, hover, layout
from lightning_mm.reporting.sweep import Sweep

HEIGHT = 440
MAX_LINES = 150
"""This many trials are drawn, the best, beyond which lines hide one another."""

_CURVE = [i / 20 for i in range(21)]


def parallel_coordinates(sweep: Sweep) -> go.Figure | None:
    """One line per trial through its overrides, its cost and SSIM, coloured by SSIM.

    Returns:
        The figure, or ``None`` where fewer than two trials have both overrides and an SSIM.
    """
    models = [model for model in sweep.trials if model.ssim is not None and model.settings][:MAX_LINES]
    if len(models) < 2:
        return None
    keys = list(dict.fromkeys(key for model in models for key in model.settings))
    short = {key: key.rsplit(".", 1)[-1] for key in keys}
    if len(set(short.values())) < len(keys):
        short = {key: key for key in keys}
    axes = [axis_of(short[key], [model.settings.get(key) for model in models]) for key in keys]
    plane = sweep.plane
    cost = "FLOPs [G]" if plane.cost == "flops" else "latency [ms]"
    axes.append(axis_of(cost, [plane.of(model) for model in models], continuous=True))
    axes.append(axis_of("SSIM", [model.ssim for model in models], continuous=True))
    figure = go.Figure(layout=layout(HEIGHT, right=70, left=24, top=64, bottom=24))
    colors = _ssim_colors(axes[-1].positions)
    for row in reversed(range(len(models))):  # the best is drawn last, on top
        _add_line(figure, models[row], axes, row, colors[row])
    for i, axis in enumerate(axes):
        _draw_axis(figure, i, axis, last=i == len(axes) - 1)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(visible=False, range=[-0.45, len(axes) - 0.95], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.06, 1.06], fixedrange=True)
    return figure


def _ssim_colors(positions: Sequence[float | None]) -> list[str]:
    # Viridis reversed and without its palest end, which is hard to see on white: the better, the darker.
    return list(map(str, sample_colorscale("Viridis", [0.9 - 0.9 * (p or 0.0) for p in positions])))


def _add_line(figure: go.Figure, model: Model, axes: Sequence[Axis], row: int, color: str) -> None:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for i in range(len(axes) - 1):
        start, end = axes[i].positions[row], axes[i + 1].positions[row]
        if start is None or end is None:
            xs, ys = [*xs, None], [*ys, None]
            continue
        xs += [i + t for t in _CURVE]
        ys += [round(start + (end - start) * t * t * (3 - 2 * t), 4) for t in _CURVE]
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="lines",
        line={"color": color, "width": 3.2 if row == 0 else 2},
        opacity=0.9,
        hoverinfo="text",
        hovertext=hover(model),
    )


def _draw_axis(figure: go.Figure, i: int, axis: Axis, last: bool) -> None:
    figure.add_shape(type="line", x0=i, x1=i, y0=-0.02, y1=1.02, line={"color": MUTED, "width": 1.2}, layer="above")
    name = escape(axis.name, quote=False).replace("_", "_<br>")
    figure.add_annotation(
        x=i, y=1, yref="paper", yanchor="bottom", yshift=6, text=f"<b>{name}</b>", showarrow=False, font={"size": 12.5}
    )
    for position, label in axis.ticks:
        figure.add_annotation(
            x=i, y=position, xanchor="left" if last else "right", xshift=6 if last else -5,
            text=escape(label, quote=False), showarrow=False, font={"size": 12},
            bgcolor="rgba(255,255,255,0.82)", borderpad=1,
        )  # fmt: skip
