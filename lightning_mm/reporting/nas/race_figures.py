"""Figures of a race: progress of its arms, all measured networks, and the finalists over seeds."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from lightning_mm.nas.race import HAND_DESIGNED
from lightning_mm.nas.table import Measured
from lightning_mm.pareto import Point, hypervolume
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.nas.race_records import ARMS, Curve, Race, arm_name, finalist_name
from lightning_mm.reporting.placement import Box, place_label
from lightning_mm.reporting.style import BLUE, INK, MUTED, OTHER_COLOR, layout, padded

COLORS = {"random": "#D55E00", "halving": BLUE, "supernet": "#009E73", "validity": "#B88AA8"}
SYMBOLS = ("circle", "diamond-open", "triangle-up-open", "square-open", "cross-thin-open")
"""Of the last rung, the one before, and so on."""

# Names are placed for a page of about 900 pixels; on a wider one points only move apart.
_WIDTH, _HEIGHT = 680, 320
_DASHES = {"random": "solid", "halving": "dash", "supernet": "dashdot"}


def volume_figure(race: Race) -> go.Figure:
    """Hypervolume of every arm against device seconds."""
    hand, reference = race.hand_designed, race.reference
    level = None if hand is None else hypervolume([Point(hand.gflops, hand.ssim)], reference)
    curves = race.curves()
    return _progress(curves, [curve.volume for curve in curves], "hypervolume [SSIM times G]", level)


def best_figure(race: Race) -> go.Figure:
    """Best SSIM of every arm against device seconds."""
    curves, hand = race.curves(), race.hand_designed
    level = None if hand is None else hand.ssim
    return _progress(curves, [curve.best for curve in curves], "best SSIM, search pairs", level)


def _progress(curves: Sequence[Curve], values: Sequence[list[float]], title: str, level: float | None) -> go.Figure:
    figure = go.Figure(layout=layout(330, right=150, left=80, top=40))
    end = max([curve.end for curve in curves], default=1.0)
    scale, unit = (1, "s") if end < 300 else (60, "min") if end < 3 * 3600 else (3600, "h")
    for curve, found in zip(curves, values, strict=True):
        color = COLORS.get(curve.arm, OTHER_COLOR)
        known = f"{len(found)} networks" if found else "none at the last rung"
        figure.add_scatter(
            # Held to the arm's end, so that arms that found nothing more do not seem to stop early.
            x=[s / scale for s in [*curve.seconds, *([curve.end] if found else [])]] or [None],
            y=[*found, *found[-1:]] or [None],
            mode="lines+markers", name=f"{arm_name(curve.arm)} ({known})",
            line={"shape": "hv", "color": color, "width": 2.2, "dash": _DASHES.get(curve.arm, "dot")},
            marker={"size": [6] * len(found) + [0], "color": color},
            hoverinfo="text", hovertext=[f"{arm_name(curve.arm)}: {value:.4f}" for value in [*found, *found[-1:]]],
            showlegend=True,
        )  # fmt: skip
        if curve.start:
            figure.add_vline(x=curve.start / scale, line={"color": color, "dash": "dot", "width": 1.4}, layer="below")
            late = curve.start > 0.6 * end
            figure.add_annotation(
                x=curve.start / scale, y=1, yref="paper", xanchor="right" if late else "left", yanchor="top",
                xshift=-5 if late else 5,
                text=f"{escape(arm_name(curve.arm), quote=False)} trained and searched", showarrow=False,
                font={"size": 12, "color": color}, bgcolor="rgba(255,255,255,0.75)",
            )  # fmt: skip
    shown = [value for found in values for value in found]
    if level is not None:
        _level(figure, "hand-designed", level)
        shown.append(level)
    figure.update_xaxes(title_text=f"device seconds of the arm, in {unit}", range=[0, 1.03 * end / scale])
    figure.update_yaxes(title_text=title, nticks=7, tickformat=".4~f")
    if shown:
        figure.update_yaxes(range=padded(shown, least=1e-3))
    return figure


def networks_figure(race: Race) -> go.Figure:
    """Every measured network once, after its longest training: SSIM on the search pairs against FLOPs."""
    figure = go.Figure(layout=layout(480, right=40, top=64))
    front, last = race.front, max(race.rungs)
    if len(front) > 1:
        figure.add_scatter(
            x=[row.gflops for row in front], y=[row.ssim for row in front], mode="lines", hoverinfo="skip",
            line={"shape": "hv", "color": MUTED, "width": 1.4}, name=f"Pareto front, {_epochs(last)}", showlegend=True,
        )  # fmt: skip
    symbols = dict(zip(sorted(race.rungs, reverse=True), SYMBOLS, strict=False))
    others = [row for row in race.longest if row.architecture != race.record.hand_designed]
    order = [*ARMS, *sorted({row.arm for row in others} - set(ARMS))]
    for arm in order:
        rows = [row for row in others if row.arm == arm]
        if rows:
            _points(figure, rows, COLORS.get(arm, OTHER_COLOR), [symbols.get(r.epochs, SYMBOLS[-1]) for r in rows])
            _key(figure, arm_name(arm), COLORS.get(arm, OTHER_COLOR), "circle")
    for epochs in sorted({row.epochs for row in race.longest}):
        _key(figure, _epochs(epochs), MUTED, symbols.get(epochs, SYMBOLS[-1]))
    hand = [row for row in race.longest if row.architecture == race.record.hand_designed]
    if hand:
        symbol = "star" if hand[0].epochs == last else "star-open"
        _points(figure, hand, INK, [symbol], 17)
        _key(figure, f"hand-designed, {_epochs(hand[0].epochs)}", INK, symbol)
    if race.longest:
        _cost_axis(figure, [row.gflops for row in race.longest])
        figure.update_yaxes(range=padded([row.ssim or 0.0 for row in race.longest], least=0.01))
    figure.update_yaxes(title_text="SSIM on the search pairs", nticks=8)
    return figure


def finalists_figure(race: Race) -> go.Figure:
    """Finalists over seeds: SSIM on the validation pairs against FLOPs."""
    figure = go.Figure(layout=layout(420, right=150, top=44))
    kinds = (
        ("choosing seeds", race.chosen_by, "circle-open", MUTED),
        ("claim seeds", race.claimed_by, "diamond", BLUE),
    )
    costs, ends = [], []
    for what, models, symbol, color in kinds:
        if not models:
            continue
        spreads = [model.sd("ssim") or 0.0 for model in models.values()]
        values = [model.ssim for model in models.values()]
        costs += [float(race.record.finalists[name]["gflops"]) for name in models]
        ends += [v + sign * s for v, s in zip(values, spreads, strict=True) if v is not None for sign in (-1, 1)]
        figure.add_scatter(
            x=[float(race.record.finalists[name]["gflops"]) for name in models], y=values, mode="markers", name=what,
            marker={"symbol": symbol, "size": 10, "color": color, "line": {"width": 1.5}},
            error_y={"array": spreads, "thickness": 1.3, "width": 4, "color": color, "visible": any(spreads)},
            hoverinfo="text", hovertext=[_about(race, name, model, what) for name, model in models.items()],
            showlegend=True,
        )  # fmt: skip
    if not costs or not ends:
        return figure
    floor = race.runs.runs[0].results.floors.get("frame_b", {}).get("ssim") if race.runs else None
    if floor is not None:
        _level(figure, "return frame B", floor)
        ends.append(floor)
    x_range, y_range = _cost_axis(figure, costs), padded(ends, least=0.005)
    _names(figure, race, x_range, y_range, floor)
    figure.update_yaxes(title_text="SSIM on the validation pairs", range=y_range, nticks=8)
    return figure


def _names(
    figure: go.Figure, race: Race, x_range: Sequence[float], y_range: Sequence[float], floor: float | None
) -> None:
    """Names of the finalists where they cover neither points nor one another; the chosen one's first."""

    def place(gflops: float, ssim: float) -> tuple[float, float]:
        x = (math.log10(gflops) - x_range[0]) / (x_range[1] - x_range[0]) * _WIDTH
        return x, (ssim - y_range[0]) / (y_range[1] - y_range[0]) * _HEIGHT

    found: dict[str, tuple[float, float]] = {}
    taken = [] if floor is None else [Box(0, place(1, floor)[1] - 2, _WIDTH, place(1, floor)[1] + 2)]
    for models in (race.chosen_by, race.claimed_by):
        for name, model in models.items():
            if model.ssim is not None:
                gflops, spread = float(race.record.finalists[name]["gflops"]), model.sd("ssim") or 0.0
                x, low, high = *place(gflops, model.ssim - spread), place(gflops, model.ssim + spread)[1]
                middle = (low + high) / 2
                taken.append(Box(x - 8, min(low, middle - 8), x + 8, max(high, middle + 8)))
                found[name] = (gflops, model.ssim)
    first = (race.record.chosen, HAND_DESIGNED)
    for name in sorted(found, key=lambda name: name not in first):
        gflops, ssim = found[name]
        text = escape(finalist_name(name), quote=False)
        spot = place_label(place(gflops, ssim), 8.0 * len(text), taken, (_WIDTH, _HEIGHT))
        if spot is None:
            continue  # crowded: hovering still names the point
        taken.append(spot.box)
        figure.add_annotation(
            x=math.log10(gflops), y=ssim, ax=spot.dx, ay=-spot.dy, text=f"<b>{text}</b>" if name in first else text,
            showarrow=True, arrowhead=0, arrowwidth=0.8, arrowcolor="#9aa3b0", standoff=8,
            font={"size": 12, "color": INK if name in first else MUTED}, bgcolor="rgba(255,255,255,0.75)", borderpad=1,
        )  # fmt: skip


def _points(figure: go.Figure, rows: Sequence[Measured], color: str, symbols: Sequence[str], size: int = 9) -> None:
    figure.add_scatter(
        x=[row.gflops for row in rows], y=[row.ssim for row in rows], mode="markers", showlegend=False,
        marker={"symbol": list(symbols), "size": size, "color": color, "line": {"width": 1.3}},
        hoverinfo="text", hovertext=[_told(row) for row in rows],
    )  # fmt: skip


def _key(figure: go.Figure, name: str, color: str, symbol: str) -> None:
    """An entry of the legend without points: arms are told by colour, rungs by form."""
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name=escape(name, quote=False), showlegend=True,
        marker={"symbol": symbol, "size": 10, "color": color, "line": {"width": 1.3}},
    )  # fmt: skip


def _told(row: Measured) -> str:
    lines = [f"<b>{row.architecture}</b> ({arm_name(row.arm)}, {_epochs(row.epochs)})"]
    lines.append(f"SSIM {row.ssim or 0.0:.4f}, {row.gflops:.2f} G FLOPs, {row.params:,} parameters")
    lines += [f"{name} = {value}" for name, value in row.choices.items()]
    return "<br>".join(line if line.startswith("<b>") else escape(line, quote=False) for line in lines)


def _about(race: Race, name: str, model: Model, what: str) -> str:
    gflops = float(race.record.finalists[name]["gflops"])
    title = f"<b>{escape(finalist_name(name), quote=False)}</b>, {what}"
    return f"{title}<br>SSIM {model.text('ssim', 4)}, {gflops:.2f} G FLOPs<br>{len(model.runs)} seeds"


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count != 1)}"


def _level(figure: go.Figure, label: str, value: float) -> None:
    figure.add_hline(y=value, line={"color": INK, "dash": "dash", "width": 1.4}, layer="below")
    figure.add_annotation(
        x=1, xref="paper", y=value, xanchor="left", xshift=8, text=f"{label}<br>{value:.4f}", align="left",
        showarrow=False, font={"size": 12},
    )  # fmt: skip


def _cost_axis(figure: go.Figure, costs: Sequence[float]) -> list[float]:
    ends = padded([math.log10(max(cost, 1e-6)) for cost in costs], least=0.5)
    marks: list[float] = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
    marks = [mark for mark in marks if ends[0] <= math.log10(mark) <= ends[1]]
    axis: dict[str, Any] = {"tickvals": marks, "ticktext": [f"{mark:g}" for mark in marks]}
    figure.update_xaxes(type="log", range=ends, title_text="FLOPs as the paper counts them [G], log scale", **axis)
    return ends
