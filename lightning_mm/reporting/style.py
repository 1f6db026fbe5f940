"""How all figures look: one layout, colours that colour-blind readers can tell apart, ranges and hover text.

All figures are SVG (no WebGL), so they render on any machine and in print. Colours are from the palettes of Okabe and
Ito and of viridis.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import plain
from lightning_mm.runs import ARCH_PREFIX

BOTTLENECK_COLORS = {2: "#D55E00", 4: "#0072B2", 8: "#009E73"}
OTHER_COLOR = "#8a8f98"
BLUE, PAPER_COLOR = "#0072B2", "#a3195b"
SERIES_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of what a figure compares, in turn."""
INK, MUTED, GRID, LINE = "#1c2430", "#5c6675", "#e8ebf0", "#b6bdc8"
FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
    "size": 13,
    "color": INK,
}


def layout(height: int, right: int, left: int = 66, top: int = 62, bottom: int = 56) -> go.Layout:
    """An empty figure of this project's looks; lengths in pixels."""
    axis = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": LINE, "ticks": "outside"}
    axis["title"] = {"font": {"size": 13}}
    return go.Layout(
        template="none",
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom},
        font=FONT,
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"bgcolor": "white", "bordercolor": LINE, "font": {"size": 13, "color": INK}, "align": "left"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12.5}},
        xaxis=axis | {"tickcolor": LINE},
        yaxis=axis | {"tickcolor": LINE},
    )


def padded(values: Sequence[float], least: float) -> list[float]:
    """A range a little wider than its values, and at least so wide."""
    low, high = min(values), max(values)
    margin = max(0.07 * (high - low), (least - (high - low)) / 2)
    return [low - margin, high + margin]


def log_ticks(low: float = -6.0, high: float = 6.0) -> dict[str, Any]:
    """Ticks of a log axis at 1, 2 and 5 of each power of ten, each with its whole number.

    Plotly's own write single digits between the powers, "4" for 0.04.

    Args:
        low: Decimal logarithm below which there is none.
        high: Decimal logarithm above which there is none.

    Returns:
        "tickvals" and "ticktext".
    """
    exponents = range(math.floor(low), math.ceil(high) + 1)
    ticks = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= math.log10(m * 10.0**e) <= high]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def hover(model: Model) -> str:
    """What is shown where the pointer rests on a model."""
    results = model.results
    metrics = [
        f"{name.upper()} {model.text(name, digits)}" for name, digits in (("ssim", 4), ("psnr", 2), ("lpips", 4))
    ]
    cost = "unknown" if model.gflops is None else f"{model.gflops:.2f}"
    lines = [f"<b>{escape(model.label, quote=False)}</b> ({escape(results.role, quote=False)})", ", ".join(metrics)]
    lines.append(f"{cost} G FLOPs, {plain(model.params)} parameters")
    times = [run.milliseconds for run in model.runs if run.milliseconds is not None]
    if times:
        lines.append(f"{sum(times) / len(times):.2f} ms per frame")
    if len(model.runs) > 1:
        lines.append(f"{len(model.runs)} seeds: {', '.join(map(str, model.seeds))}")
    settings = model.settings or {f"{ARCH_PREFIX}{key}": value for key, value in results.arch.items()}
    lines += [escape(f"{key.removeprefix(ARCH_PREFIX)} = {value}", quote=False) for key, value in settings.items()]
    return "<br>".join(lines)
