"""SSIM against cost: models with their spread over seeds, the Pareto front, the visual threshold and the floors."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.placement import Box, place_label, spread
from lightning_mm.reporting.plane import Plane
from lightning_mm.reporting.provenance import FLOOR_NAMES
from lightning_mm.reporting.style import (
    BOTTLENECK_COLORS,
    INK,
    MUTED,
    OTHER_COLOR,
    PAPER_COLOR,
    hover,
    layout,
    log_ticks,
    padded,
)
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.reporting.threshold import Threshold

HEIGHT = 520
MAX_QUARTILES = 60
"""Of more models of one kind the quartiles of latency are not drawn, which would hide the points."""

# Labels are placed for a page of about 800 pixels; on a wider one points only move apart.
_PLOT_WIDTH, _PLOT_HEIGHT = 500, 395
_MAX_FRONT_LABELS = 14


def scatter(sweep: Sweep, plane: Plane | None = None) -> go.Figure:
    """SSIM against cost on a log axis.

    Args:
        sweep: The models; those without SSIM or cost are not drawn.
        plane: The kind of cost; that of the sweep's objectives when left out.
    """
    plane = plane or sweep.plane
    hidden = below_view(sweep)
    models = [model for model in sweep.models if plane.point(model).known and model not in hidden]
    figure = go.Figure(layout=layout(HEIGHT, right=150, bottom=56 if plane.cost == "flops" else 72))
    if not models:
        return figure
    levels = _levels(sweep)
    bound = sweep.constraints.get("flops") if plane.cost == "flops" else None
    costs = [plane.of(model) for model in models] + [bound]
    if len(models) <= MAX_QUARTILES:
        costs += [end for model in models for end in plane.quartiles(model) or ()]
    x_range = padded([_log(cost) for cost in costs if cost is not None], least=0.9)
    ends = [(m.ssim or 0.0) + sign * (m.sd("ssim") or 0.0) for m in models for sign in (-1, 1)]
    y_range = padded(ends + [level for _, level in levels], least=0.01)
    for i, front in enumerate(sweep.fronts(plane)):
        _add_front(figure, [model for model in front if model not in hidden], plane, first=i == 0)
    _add_markers(figure, models, plane)
    _add_levels(figure, levels, y_range, sweep.threshold)
    if bound is not None:
        _add_bound(figure, bound)
    _add_labels(figure, models, sweep, plane, [level for _, level in levels], x_range, y_range)
    figure.update_xaxes(type="log", range=x_range, title_text=plane.axis_title, **log_ticks(*x_range))
    figure.update_yaxes(range=y_range, title_text="SSIM on the validation pairs", tickformat=".3~f", nticks=8)
    return figure


def below_view(sweep: Sweep) -> list[Model]:
    """Models so far below the floor "return frame B" (diverged, say) that a scale with them would hide all else."""
    floors = [value for _, value in _levels(sweep)[:-1]]
    tops = [model.ssim for model in sweep.models if model.ssim is not None] + [sweep.threshold.value]
    if not floors:
        return []
    limit = min(floors) - (max(tops) - min(floors))
    below = [model for model in sweep.models if model.ssim is not None and model.ssim < limit]
    return below if len(below) < len(sweep.models) / 2 else []


def _log(cost: float | None) -> float:
    return math.log10(max(cost or 0, 1e-6))


def _levels(sweep: Sweep) -> list[tuple[str, float]]:
    """Horizontal lines: (label, SSIM), the visual threshold last."""
    found = []
    floors = sweep.floors()
    for name, run in floors:
        value = run.results.floors[name].get("ssim")
        if value is not None:
            several = sum(other == name for other, _ in floors) > 1
            where = f" ({run.results.validation.get('name')})" if several else ""
            found.append((escape(FLOOR_NAMES.get(name, name) + where, quote=False), value))
    return [*found, (sweep.threshold.label, sweep.threshold.value)]


def _add_front(figure: go.Figure, front: Sequence[Model], plane: Plane, first: bool) -> None:
    # Steps: between two models of the front, what is attained is the cheaper one's SSIM.
    figure.add_scatter(
        x=[plane.of(model) for model in front],
        y=[model.ssim for model in front],
        mode="lines+markers",
        line={"shape": "hv", "color": "#9aa3b0", "width": 2, "dash": "solid" if first else "dot"},
        marker={"symbol": "circle-open", "size": 18, "color": INK, "line": {"width": 1.4}},
        name="Pareto front",
        legendgroup="front",
        showlegend=first,
        hoverinfo="skip",
    )


def _add_markers(figure: go.Figure, models: Sequence[Model], plane: Plane) -> None:
    archs = [model.results.arch.get("bottleneck") for model in models]
    for bottleneck in [*sorted({b for b in archs if isinstance(b, int)}), None]:
        color = OTHER_COLOR if bottleneck is None else BOTTLENECK_COLORS.get(bottleneck, OTHER_COLOR)
        name = "trial" if bottleneck is None else f"bottleneck 1/{bottleneck}"
        mine = [m for m, b in zip(models, archs, strict=True) if m.is_trial and b == bottleneck]
        _add_points(figure, mine, plane, name, color, "circle", 11)
    other = [m for m in models if not m.is_trial and not m.is_hand_designed and not m.is_baseline]
    _add_points(figure, other, plane, "other run", OTHER_COLOR, "triangle-up", 12)
    _add_points(figure, [m for m in models if m.is_baseline], plane, "baseline (Oh et al.)", INK, "square", 12)
    hand_designed = [m for m in models if m.is_hand_designed and not m.is_baseline]
    _add_points(figure, hand_designed, plane, "hand-designed model", INK, "star", 17)


def _add_points(
    figure: go.Figure, models: Sequence[Model], plane: Plane, name: str, color: str, symbol: str, size: int
) -> None:
    if not models:
        return
    look: dict[str, Any] = {"thickness": 1.3, "width": 4, "color": color}
    bars = {}
    if any(model.sd("ssim") is not None for model in models):
        bars["error_y"] = look | {"array": [model.sd("ssim") for model in models]}
    quartiles = [plane.quartiles(model) for model in models]
    if any(quartiles) and len(models) <= MAX_QUARTILES:
        pairs = [(q, plane.of(model) or 0.0) for q, model in zip(quartiles, models, strict=True)]
        bars["error_x"] = look | {
            "array": [None if q is None else max(0.0, q[1] - cost) for q, cost in pairs],
            "arrayminus": [None if q is None else max(0.0, cost - q[0]) for q, cost in pairs],
            "symmetric": False,
        }
    figure.add_scatter(
        x=[plane.of(model) for model in models],
        y=[model.ssim for model in models],
        mode="markers",
        marker={
            "symbol": symbol,
            "size": size if len(models) <= 150 else 0.65 * size,
            "color": color,
            "line": {"color": "white", "width": 1},
        },
        name=name,
        hoverinfo="text",
        hovertext=[hover(model) for model in models],
        **bars,
    )


def _add_levels(
    figure: go.Figure, levels: Sequence[tuple[str, float]], y_range: list[float], threshold: Threshold
) -> None:
    low, high = y_range
    pixels = [(value - low) / (high - low) * _PLOT_HEIGHT for _, value in levels]
    for (label, value), at, moved in zip(levels, pixels, spread(pixels, 36), strict=True):
        visual = (label, value) == (threshold.label, threshold.value)
        color, dash = (PAPER_COLOR, "dash") if visual else (MUTED, "dot")
        figure.add_hline(y=value, line={"color": color, "dash": dash, "width": 1.6}, layer="below")
        if visual and threshold.interval is not None:
            bottom, top = (y if end is None else end for end, y in zip(threshold.interval, y_range, strict=True))
            figure.add_hrect(y0=bottom, y1=top, fillcolor=PAPER_COLOR, opacity=0.08, line_width=0, layer="below")
        text = f"{label}<br><b>{threshold.text}</b>" if visual else f"{label}<br>{value:.4f}"
        figure.add_annotation(
            x=1, xref="paper", y=value, xanchor="left", xshift=8, yshift=moved - at, text=text, align="left",
            showarrow=False, font={"size": 12, "color": color},
        )  # fmt: skip


def _add_bound(figure: go.Figure, bound: float) -> None:
    figure.add_vline(x=bound, line={"color": INK, "dash": "dash", "width": 2}, layer="below")
    figure.add_annotation(
        x=math.log10(bound), y=0, yref="paper", xanchor="left", yanchor="bottom", xshift=5, yshift=4,
        text=f"bound of the search: {bound:g} G", showarrow=False, font={"size": 12}, bgcolor="rgba(255,255,255,0.75)",
    )  # fmt: skip


def _add_labels(
    figure: go.Figure,
    models: Sequence[Model],
    sweep: Sweep,
    plane: Plane,
    levels: Sequence[float],
    x_range: list[float],
    y_range: list[float],
) -> None:
    def height(ssim: float) -> float:
        return (ssim - y_range[0]) / (y_range[1] - y_range[0]) * _PLOT_HEIGHT

    def box(model: Model) -> Box:
        x = (_log(plane.of(model)) - x_range[0]) / (x_range[1] - x_range[0]) * _PLOT_WIDTH
        ssim, sd = model.ssim or 0.0, model.sd("ssim") or 0.0
        return Box(x - 9, min(height(ssim) - 9, height(ssim - sd)), x + 9, max(height(ssim) + 9, height(ssim + sd)))

    taken = [box(model) for model in models]
    taken += [Box(0, height(level) - 2, _PLOT_WIDTH, height(level) + 2) for level in levels]
    named = [model for model in models if not model.is_trial]
    best = [model for front in sweep.fronts(plane) for model in front if model.is_trial and model in models]
    step = max(1, -(-len(best) // _MAX_FRONT_LABELS))
    for model in [*named, *best[::-step]]:
        own = box(model)
        centre = ((own.left + own.right) / 2, height(model.ssim or 0.0))
        text = escape(model.label, quote=False)
        place = place_label(
            centre, len(model.label) * (7.2 if model.is_trial else 8.2), taken, (_PLOT_WIDTH, _PLOT_HEIGHT)
        )
        if place is None:
            continue  # crowded: hovering still names the point
        taken.append(place.box)
        figure.add_annotation(
            x=_log(plane.of(model)), y=model.ssim, ax=place.dx, ay=-place.dy,
            text=text if model.is_trial else f"<b>{text}</b>",
            showarrow=True, arrowhead=0, arrowwidth=0.8, arrowcolor="#9aa3b0", standoff=7,
            font={"size": 12, "color": MUTED if model.is_trial else INK}, bgcolor="rgba(255,255,255,0.75)", borderpad=1,
        )  # fmt: skip
