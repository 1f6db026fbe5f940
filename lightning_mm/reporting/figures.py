"""The page's two figures: SSIM against FLOPs, and the hyperparameters as parallel coordinates.

Both are SVG (no WebGL), so they render on any machine and in print. Colours are from the palettes of Okabe and Ito and
of viridis, which colour-blind readers can tell apart.
"""

import math
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lightning_mm.reporting.axes import Axis, axis_of
from lightning_mm.reporting.collect import ARCH_PREFIX, Run, Sweep
from lightning_mm.reporting.placement import Box, place_label, spread
from lightning_mm.reporting.threshold import VISUAL_THRESHOLD_SSIM
from lightning_mm.reporting.verdict import FLOOR_NAMES, metric_text

BOTTLENECK_COLORS = {2: "#D55E00", 4: "#0072B2", 8: "#009E73"}
OTHER_COLOR = "#8a8f98"
INK, MUTED, GRID = "#1c2430", "#5c6675", "#e8ebf0"
FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
    "size": 13,
    "color": INK,
}
SCATTER_HEIGHT, PARALLEL_HEIGHT = 520, 440
MAX_LINES = 150
"""Parallel coordinates draw this many trials, the best, beyond which lines hide one another."""

# Labels are placed for a page of about 800 pixels; on a wider one points only move apart.
_PLOT_WIDTH, _PLOT_HEIGHT = 500, 395
_CURVE = [i / 20 for i in range(21)]


def scatter(sweep: Sweep) -> go.Figure:
    """SSIM against the paper's FLOPs on a log axis, with the Pareto front, the paper's line and the floors.

    Args:
        sweep: The runs; those without SSIM or FLOPs are not drawn.
    """
    hidden = below_view(sweep)
    runs = [run for run in sweep.runs if run.point.known and run not in hidden]
    figure = go.Figure(layout=_layout(SCATTER_HEIGHT, right=150))
    if not runs:
        return figure
    levels = _levels(sweep)
    x_range = _padded([math.log10(max(run.gflops or 0, 1e-6)) for run in runs], least=0.9)
    y_range = _padded([run.ssim or 0.0 for run in runs] + [level for _, level in levels], least=0.01)
    for i, front in enumerate(sweep.fronts()):
        _add_front(figure, [run for run in front if run not in hidden], first=i == 0)
    _add_markers(figure, runs)
    _add_levels(figure, levels, y_range)
    _add_labels(figure, runs, sweep, [level for _, level in levels], x_range, y_range)
    ticks = [m * 10**e for e in range(-6, 7) for m in (1, 2, 5) if x_range[0] <= math.log10(m * 10**e) <= x_range[1]]
    title = "FLOPs as the paper counts them [G], log scale"
    figure.update_xaxes(type="log", range=x_range, title=title, tickvals=ticks, ticktext=[f"{t:g}" for t in ticks])
    figure.update_yaxes(range=y_range, title="SSIM on the validation pairs", tickformat=".3~f", nticks=8)
    return figure


def below_view(sweep: Sweep) -> list[Run]:
    """Runs so far below the floor "return frame B" (diverged, say) that a scale with them would hide all else."""
    floors = [value for _, value in _levels(sweep)[:-1]]
    tops = [run.ssim for run in sweep.runs if run.ssim is not None] + [VISUAL_THRESHOLD_SSIM]
    if not floors:
        return []
    limit = min(floors) - (max(tops) - min(floors))
    below = [run for run in sweep.runs if run.ssim is not None and run.ssim < limit]
    return below if len(below) < len(sweep.runs) / 2 else []


def parallel_coordinates(sweep: Sweep) -> go.Figure | None:
    """One line per trial through its overrides, FLOPs and SSIM, coloured by SSIM.

    Returns:
        The figure, or ``None`` where fewer than two trials have both overrides and an SSIM.
    """
    runs = [run for run in sweep.trials if run.ssim is not None and run.results.overrides][:MAX_LINES]
    if len(runs) < 2:
        return None
    keys = list(dict.fromkeys(key for run in runs for key in run.results.overrides))
    short = {key: key.rsplit(".", 1)[-1] for key in keys}
    if len(set(short.values())) < len(keys):
        short = {key: key for key in keys}
    axes = [axis_of(short[key], [run.results.overrides.get(key) for run in runs]) for key in keys]
    axes.append(axis_of("FLOPs [G]", [run.gflops for run in runs], continuous=True))
    axes.append(axis_of("SSIM", [run.ssim for run in runs], continuous=True))
    figure = go.Figure(layout=_layout(PARALLEL_HEIGHT, right=70))
    colors = _ssim_colors(axes[-1].positions)
    for row in reversed(range(len(runs))):  # the best is drawn last, on top
        _add_line(figure, runs[row], axes, row, colors[row])
    for i, axis in enumerate(axes):
        _draw_axis(figure, i, axis, last=i == len(axes) - 1)
    figure.update_layout(showlegend=False, margin={"t": 64, "l": 24, "b": 24})
    figure.update_xaxes(visible=False, range=[-0.45, len(axes) - 0.95], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.06, 1.06], fixedrange=True)
    return figure


def _layout(height: int, right: int) -> go.Layout:
    axis = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": "#b6bdc8", "ticks": "outside"}
    return go.Layout(
        template="none",
        height=height,
        margin={"l": 66, "r": right, "t": 62, "b": 56},
        font=FONT,
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"bgcolor": "white", "bordercolor": "#b6bdc8", "font": {"size": 13, "color": INK}, "align": "left"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12.5}},
        xaxis=axis | {"tickcolor": "#b6bdc8"},
        yaxis=axis | {"tickcolor": "#b6bdc8"},
    )


def _levels(sweep: Sweep) -> list[tuple[str, float]]:
    """Horizontal lines: (label, SSIM), those without training first."""
    found = []
    floors = sweep.floors()
    for name, run in floors:
        value = run.results.floors[name].get("ssim")
        if value is not None:
            several = sum(other == name for other, _ in floors) > 1
            where = f" ({run.results.validation.get('name')})" if several else ""
            found.append((escape(FLOOR_NAMES.get(name, name) + where, quote=False), value))
    return [*found, ("paper's threshold", VISUAL_THRESHOLD_SSIM)]


def _padded(values: Sequence[float], least: float) -> list[float]:
    low, high = min(values), max(values)
    margin = max(0.07 * (high - low), (least - (high - low)) / 2)
    return [low - margin, high + margin]


def _add_front(figure: go.Figure, front: Sequence[Run], first: bool) -> None:
    # Steps: between two models of the front, what is attained is the cheaper one's SSIM.
    figure.add_scatter(
        x=[run.gflops for run in front],
        y=[run.ssim for run in front],
        mode="lines+markers",
        line={"shape": "hv", "color": "#9aa3b0", "width": 2, "dash": "solid" if first else "dot"},
        marker={"symbol": "circle-open", "size": 18, "color": INK, "line": {"width": 1.4}},
        name="Pareto front",
        legendgroup="front",
        showlegend=first,
        hoverinfo="skip",
    )


def _add_markers(figure: go.Figure, runs: Sequence[Run]) -> None:
    bottlenecks = sorted({b for run in runs if isinstance(b := run.results.arch.get("bottleneck"), int)})
    for bottleneck in [*bottlenecks, None]:
        color = OTHER_COLOR if bottleneck is None else BOTTLENECK_COLORS.get(bottleneck, OTHER_COLOR)
        name = "trial" if bottleneck is None else f"bottleneck 1/{bottleneck}"
        mine = [r for r in runs if r.is_trial and r.results.arch.get("bottleneck") == bottleneck]
        _add_points(figure, mine, name, color, "circle", 11)
    other = [r for r in runs if not r.is_trial and not r.is_hand_designed and not r.is_baseline]
    _add_points(figure, other, "other run", OTHER_COLOR, "triangle-up", 12)
    _add_points(figure, [r for r in runs if r.is_baseline], "baseline (Oh et al.)", INK, "square", 12)
    _add_points(figure, [r for r in runs if r.is_hand_designed], "hand-designed model", INK, "star", 17)


def _add_points(figure: go.Figure, runs: Sequence[Run], name: str, color: str, symbol: str, size: int) -> None:
    if runs:
        figure.add_scatter(
            x=[run.gflops for run in runs],
            y=[run.ssim for run in runs],
            mode="markers",
            marker={"symbol": symbol, "size": size, "color": color, "line": {"color": "white", "width": 1}},
            name=name,
            hoverinfo="text",
            hovertext=[_hover(run) for run in runs],
        )


def _hover(run: Run) -> str:
    results = run.results
    lines = [f"<b>{escape(run.label, quote=False)}</b> ({escape(results.role, quote=False)})"]
    lines.append(
        f"SSIM {metric_text(run, 'ssim', 4)}, PSNR {metric_text(run, 'psnr', 2)}, LPIPS {metric_text(run, 'lpips', 4)}"
    )
    cost = "unknown" if run.gflops is None else f"{run.gflops:.2f}"
    lines.append(f"{cost} G FLOPs, {results.cost.get('params', 0):,} parameters")
    shown = results.overrides or {f"{ARCH_PREFIX}{key}": value for key, value in results.arch.items()}
    lines += [escape(f"{key.removeprefix(ARCH_PREFIX)} = {value}", quote=False) for key, value in shown.items()]
    return "<br>".join(lines)


def _add_levels(figure: go.Figure, levels: Sequence[tuple[str, float]], y_range: list[float]) -> None:
    low, high = y_range
    pixels = [(value - low) / (high - low) * _PLOT_HEIGHT for _, value in levels]
    for (label, value), at, moved in zip(levels, pixels, spread(pixels, 36), strict=True):
        paper = value == VISUAL_THRESHOLD_SSIM and label == "paper's threshold"
        color, dash = ("#a3195b", "dash") if paper else (MUTED, "dot")
        figure.add_hline(y=value, line={"color": color, "dash": dash, "width": 1.6}, layer="below")
        text = f"{label}<br><b>{value:.3f}</b>" if paper else f"{label}<br>{value:.4f}"
        figure.add_annotation(
            x=1, xref="paper", y=value, xanchor="left", xshift=8, yshift=moved - at, text=text, align="left",
            showarrow=False, font={"size": 12, "color": color},
        )  # fmt: skip


def _add_labels(
    figure: go.Figure,
    runs: Sequence[Run],
    sweep: Sweep,
    levels: Sequence[float],
    x_range: list[float],
    y_range: list[float],
) -> None:
    def height(ssim: float) -> float:
        return (ssim - y_range[0]) / (y_range[1] - y_range[0]) * _PLOT_HEIGHT

    def pixel(run: Run) -> tuple[float, float]:
        x = (math.log10(max(run.gflops or 0, 1e-6)) - x_range[0]) / (x_range[1] - x_range[0])
        return x * _PLOT_WIDTH, height(run.ssim or 0.0)

    taken = [Box(x - 9, y - 9, x + 9, y + 9) for x, y in map(pixel, runs)]
    taken += [Box(0, height(level) - 2, _PLOT_WIDTH, height(level) + 2) for level in levels]
    named = [run for run in runs if not run.is_trial]
    best = [run for front in sweep.fronts() for run in front if run.is_trial and run in runs]
    for run in [*named, *best]:
        text = escape(run.label, quote=False)
        place = place_label(pixel(run), len(run.label) * 7.2, taken, (_PLOT_WIDTH, _PLOT_HEIGHT))
        if place is None:
            continue  # crowded: hovering still names the point
        taken.append(place.box)
        x = math.log10(max(run.gflops or 0, 1e-6))
        figure.add_annotation(
            x=x, y=run.ssim, ax=place.dx, ay=-place.dy, text=text if run.is_trial else f"<b>{text}</b>",
            showarrow=True, arrowhead=0, arrowwidth=0.8, arrowcolor="#9aa3b0", standoff=7,
            font={"size": 12, "color": MUTED if run.is_trial else INK}, bgcolor="rgba(255,255,255,0.75)", borderpad=1,
        )  # fmt: skip


def _ssim_colors(positions: Sequence[float | None]) -> list[str]:
    # Viridis reversed and without its palest end, which is hard to see on white: the better, the darker.
    return list(map(str, sample_colorscale("Viridis", [0.9 - 0.9 * (p or 0.0) for p in positions])))


def _add_line(figure: go.Figure, run: Run, axes: Sequence[Axis], row: int, color: str) -> None:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for i in range(len(axes) - 1):
        start, end = axes[i].positions[row], axes[i + 1].positions[row]
        if start is None or end is None:
            xs, ys = [*xs, None], [*ys, None]
            continue
        xs += [i + t for t in _CURVE]
        ys += [start + (end - start) * t * t * (3 - 2 * t) for t in _CURVE]
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="lines",
        line={"color": color, "width": 3.2 if row == 0 else 2},
        opacity=0.9,
        hoverinfo="text",
        hovertext=_hover(run),
    )


def _draw_axis(figure: go.Figure, i: int, axis: Axis, last: bool) -> None:
    figure.add_shape(type="line", x0=i, x1=i, y0=-0.02, y1=1.02, line={"color": "#5c6675", "width": 1.2}, layer="above")
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
