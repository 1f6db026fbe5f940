"""The appendix's figures: SSIM against FLOPs, a panel for each set of pairs, and the searches' progress."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.nas.appendix_records import FOUND, PLAIN, RANDOM, Appendix, Row
from lightning_mm.reporting.run import finite
from lightning_mm.reporting.style import BLUE, INK, LINE, MUTED, PAPER_COLOR, hover, layout, padded
from lightning_mm.reporting.threshold import VISUAL_THRESHOLD_SSIM

PAPER_REFERENCES = {"proposed": (0.972, 9.86), "baseline": (0.971, 41.3)}
"""SSIM and FLOPs [G] that the paper prints of its hand-designed networks (Fig. 5)."""

HEIGHT = 460
_TITLES = ("inherited weights, our search pairs", "from scratch, our validation pairs", "the paper, its own set")
_LOOKS = {FOUND: ("circle", BLUE, 11), RANDOM: ("diamond", "#D55E00", 10), PLAIN: ("square", "#009E73", 9)}
_NAMES = {FOUND: "found", RANDOM: "random, of the same cost", PLAIN: "plain: kernel 3, nothing skipped"}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8a8f98")
_DASHES = ("solid", "dash", "dot")


def scatter(appendix: Appendix) -> go.Figure:
    """SSIM against FLOPs: inherited scores, trainings from scratch, the paper's numbers; each panel has its own set."""
    figure = make_subplots(rows=1, cols=3, column_widths=[0.26, 0.45, 0.29], horizontal_spacing=0.07)
    figure.update_layout(layout(HEIGHT, right=28, top=96))
    inherited = _inherited(figure, appendix.rows)
    scratch = _scratch(figure, appendix)
    paper = _paper(figure, appendix.rows)
    for number, (panel, title) in enumerate(zip((inherited, scratch, paper), _TITLES, strict=True), start=1):
        costs, values = panel
        _axes(figure, number, costs, values)
        axis = "x" if number == 1 else f"x{number}"
        figure.add_annotation(
            x=0, xref=f"{axis} domain", y=1, yref="paper", xanchor="left", yanchor="bottom", yshift=8, showarrow=False,
            text=f"<b>{title}</b>", font={"size": 13, "color": PAPER_COLOR if number == 3 else INK},
        )  # fmt: skip
        if not costs:
            figure.add_annotation(
                x=0.5, xref=f"{axis} domain", y=0.5, yref="paper", text="none yet", showarrow=False,
                font={"color": MUTED},
            )  # fmt: skip
    figure.update_layout(legend={"y": 1.1})
    return figure


def history(rows: Sequence[Row]) -> go.Figure | None:
    """Best SSIM with inherited weights against evaluations, one line per row; ``None`` where nothing was searched."""
    figure = go.Figure(layout=layout(360, right=40, top=44, left=84))
    values = []
    for number, row in enumerate(rows):
        points = row.record.search["history"]
        if not points:
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        figure.add_scatter(
            x=[count for count, _ in points],
            y=[best for _, best in points],
            mode="lines+markers",
            name=escape(row.name, quote=False),
            line={"shape": "hv", "width": 2, "color": colour, "dash": _DASHES[number % len(_DASHES)]},
            marker={"size": 6, "color": colour},
            showlegend=True,
        )
        values += [best for _, best in points]
    if not values:
        return None
    figure.update_xaxes(title_text="networks evaluated", rangemode="tozero")
    figure.update_yaxes(
        title_text="best SSIM, search pairs", range=padded(values, least=2e-3), tickformat=".4~f", nticks=7
    )
    return figure


Panel = tuple[list[float], list[float]]


def _inherited(figure: go.Figure, rows: Sequence[Row]) -> Panel:
    points = [(row, row.gflops(FOUND), row.inherited) for row in rows]
    known = [(row, cost, ssim) for row, cost, ssim in points if cost is not None and ssim is not None]
    costs, values = [cost for _, cost, _ in known], [ssim for _, _, ssim in known]
    said = [
        f"<b>{escape(row.name, quote=False)}</b> found, inherited weights<br>SSIM {ssim:.4f} on the search pairs"
        f"<br>{cost:.2f} G FLOPs"
        for row, cost, ssim in known
    ]
    figure.add_scatter(
        x=costs, y=values, text=_letters([row for row, _, _ in known]), hovertext=said, name="found, inherited weights",
        **_look("circle-open", BLUE, 11), row=1, col=1,
    )  # fmt: skip
    return costs, values


def _scratch(figure: go.Figure, appendix: Appendix) -> Panel:
    costs: list[float] = []
    values: list[float] = []
    for row in appendix.rows:  # which three belong together
        own = [(row.gflops(name), model.ssim) for name in (RANDOM, FOUND, PLAIN) if (model := row.model(name))]
        own = [point for point in own if None not in point]
        if len(own) > 1:
            figure.add_scatter(
                x=[x for x, _ in own], y=[y for _, y in own], mode="lines", line={"color": LINE, "width": 1},
                hoverinfo="skip", showlegend=False, row=1, col=2,
            )  # fmt: skip
    for name, look in _LOOKS.items():
        models = [(row, model) for row in appendix.rows if (model := row.model(name)) is not None]
        letters = _letters([row for row, _ in models]) if name == FOUND else None
        _models(figure, [model for _, model in models], _NAMES[name], look, letters, costs, values)
    references = appendix.references
    names = [escape(model.label, quote=False) for model in references]
    _models(figure, references, "hand-designed, on the same budget", ("star", INK, 14), names, costs, values)
    figure.data[-1].textposition = "top center" if references else "middle right"
    floors = [finite(model.results.floors.get("frame_b", {}).get("ssim")) for model in appendix.models]
    floor = next((value for value in floors if value is not None), None)
    if floor is not None:
        _level(figure, 2, floor, f"return frame B {floor:.3f}", MUTED)
        values.append(floor)
    if max(values, default=0.0) > VISUAL_THRESHOLD_SSIM - 0.05:
        _level(figure, 2, VISUAL_THRESHOLD_SSIM, f"{VISUAL_THRESHOLD_SSIM}, of the paper's set", PAPER_COLOR)
        values.append(VISUAL_THRESHOLD_SSIM)
    return costs, values


def _models(
    figure: go.Figure,
    models: Sequence[Model],
    name: str,
    look: tuple[str, str, int],
    texts: list[str] | None,
    costs: list[float],
    values: list[float],
) -> None:
    """Means and their error bars in the middle panel; what is drawn is added to ``costs`` and ``values``."""
    known = [
        (model, text, model.gflops, model.ssim)
        for model, text in zip(models, texts or [""] * len(models), strict=True)
        if model.gflops is not None and model.ssim is not None
    ]
    if not known:
        return
    bars = {}
    if any(model.sd("ssim") is not None for model, *_ in known):
        spreads = [model.sd("ssim") for model, *_ in known]
        bars = {"error_y": {"array": spreads, "thickness": 1.3, "width": 4, "color": look[1]}}
    figure.add_scatter(
        x=[cost for _, _, cost, _ in known], y=[ssim for *_, ssim in known], text=[text for _, text, *_ in known],
        hovertext=[hover(model) for model, *_ in known], name=name, **_look(*look), **bars, row=1, col=2,
    )  # fmt: skip
    costs += [cost for _, _, cost, _ in known]
    values += [ssim + sign * (model.sd("ssim") or 0.0) for model, _, _, ssim in known for sign in (-1, 1)]


def _paper(figure: go.Figure, rows: Sequence[Row]) -> Panel:
    points = [(row, row.paper_gflops, row.paper_ssim) for row in rows]
    known = [(row, cost, ssim) for row, cost, ssim in points if cost is not None and ssim is not None]
    figure.add_scatter(
        x=[cost for _, cost, _ in known], y=[ssim for *_, ssim in known], text=_letters([row for row, *_ in known]),
        hovertext=[
            f"<b>{escape(row.name, quote=False)}</b>, as the paper prints it<br>SSIM {ssim:.3f} on its own set"
            f"<br>{cost:.2f} G FLOPs"
            for row, cost, ssim in known
        ],
        name="paper: found by NAS", **_look("hexagon2", PAPER_COLOR, 12), row=1, col=3,
    )  # fmt: skip
    figure.add_scatter(
        x=[cost for _, cost in PAPER_REFERENCES.values()], y=[ssim for ssim, _ in PAPER_REFERENCES.values()],
        text=list(PAPER_REFERENCES), name="paper: hand-designed",
        hovertext=[
            f"<b>{name}</b>, as the paper prints it<br>SSIM {ssim:.3f} on its own set<br>{cost:.2f} G FLOPs"
            for name, (ssim, cost) in PAPER_REFERENCES.items()
        ],
        **_look("star-open", PAPER_COLOR, 13), row=1, col=3,
    )  # fmt: skip
    figure.data[-1].textposition = "top center"
    _level(figure, 3, VISUAL_THRESHOLD_SSIM, f"{VISUAL_THRESHOLD_SSIM}, visual threshold", PAPER_COLOR, below=True)
    costs = [cost for _, cost, _ in known] + [cost for _, cost in PAPER_REFERENCES.values()]
    values = [ssim for *_, ssim in known] + [ssim for ssim, _ in PAPER_REFERENCES.values()]
    return costs, [*values, max(values) + 0.015]  # room for the names above the stars


def _look(symbol: str, colour: str, size: int) -> dict[str, Any]:
    return {
        "mode": "markers+text",
        "textposition": "middle right",
        "textfont": {"size": 12.5, "color": INK},
        "cliponaxis": False,
        "hoverinfo": "text",
        "showlegend": True,
        "marker": {
            "symbol": symbol,
            "size": size,
            "color": colour,
            "line": {
                "color": colour if symbol.endswith("open") else "white",
                "width": 2 if symbol.endswith("open") else 1,
            },
        },
    }


def _letters(rows: Sequence[Row]) -> list[str]:
    return [f" <b>{escape(row.name, quote=False)}</b>" for row in rows]


def _level(figure: go.Figure, panel: int, value: float, text: str, colour: str, below: bool = False) -> None:
    figure.add_hline(y=value, line={"color": colour, "dash": "dash", "width": 1.4}, layer="below", row=1, col=panel)  # pyright: ignore
    figure.add_annotation(
        x=1, xref=f"x{panel} domain", y=value, yref=f"y{panel}", xanchor="right", yanchor="top" if below else "bottom",
        text=text, showarrow=False, font={"size": 11.5, "color": colour},
    )  # fmt: skip


def _axes(figure: go.Figure, panel: int, costs: Sequence[float], values: Sequence[float]) -> None:
    # As in every figure of the reports; make_subplots leaves the second and third axis bare.
    look = {name: figure.layout.xaxis[name] for name in ("gridcolor", "zeroline", "showline", "linecolor", "ticks")}
    ends = padded([math.log10(cost) for cost in costs if cost > 0] or [0.5, 1.5], least=0.5)
    ticks = [m * 10**e for e in range(-3, 5) for m in (1, 2, 5) if ends[0] <= math.log10(m * 10**e) <= ends[1]]
    figure.update_xaxes(
        **look, tickcolor=LINE, type="log", range=ends, tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks],
        title_text="FLOPs (paper's count) [G]" if panel == 2 else "FLOPs [G]", title_font_size=13, row=1, col=panel,
    )  # fmt: skip
    figure.update_yaxes(
        **look, tickcolor=LINE, range=padded(list(values) or [0.0, 1.0], least=0.02), tickformat=".3~f", nticks=7,
        title_text="SSIM" if panel == 1 else None, title_font_size=13, row=1, col=panel,
    )  # fmt: skip
