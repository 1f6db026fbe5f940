"""The page of ``threshold fit``: mean scores, the curve, where it crosses the score, and the interval."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from lightning_mm.calibration.bootstrap import interval_of
from lightning_mm.calibration.calibrate import Calibration
from lightning_mm.calibration.ratings import MAX_SCORE
from lightning_mm.reporting.html import document
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.style import BLUE, INK, MUTED, PAPER_COLOR, layout, padded
from lightning_mm.reporting.threshold import VISUAL_THRESHOLD_SSIM

TITLE = "Visual threshold from ratings, after the paper's Appendix F"
_POINTS = 200


def page(found: Calibration, source: str) -> str:
    """HTML that shows the same on any machine, offline.

    Args:
        found: What was fitted.
        source: Name of the file with the ratings.
    """
    lead, *rest = found.lines()
    more = " ".join(f"{line.rstrip('.')}." for line in rest)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{ssim:.4f}</td><td>{mean:.3f}</td><td>{count:g}</td></tr>"
        for name, ssim, mean, count in zip(
            found.ratings.models,
            found.ratings.ssim,
            found.ratings.means,
            found.ratings.counts.sum((0, 1)),
            strict=True,
        )
    )
    bars = "" if found.ratings.pairs else f" Bars: 95 % of the draws of {escape(found.unit)}."
    paper = f"The paper's own study gives {VISUAL_THRESHOLD_SSIM} at score 3, on its own pairs."
    body = (
        f"<header><p class=kicker>Calibration</p><h1>{TITLE}</h1></header>"
        f"<section class=verdict><p><strong>{escape(lead)}.</strong> {escape(more)}</p></section>"
        f"<section><h2>Score over SSIM</h2><p>Mean scores of {escape(source)} (0: no similarity, 5: perfect).{bars} "
        f"The shaded band is the 95 % interval. {paper}</p>{plot(figure(found), 'calibration')}</section>"
        '<section><h2>Mean scores</h2><table class="plain numbers"><tr><th>model</th><th>SSIM</th><th>mean score</th>'
        f"<th>ratings</th></tr>{rows}</table></section>"
    )
    return document(TITLE, body)


def figure(found: Calibration) -> go.Figure:
    """Points with error bars, the curve, the crossing and its interval."""
    ratings, curve = found.ratings, found.curve
    drawn = go.Figure(layout=layout(460, right=40))
    grid = np.linspace(curve.low, curve.high, _POINTS)
    drawn.add_scatter(
        x=grid, y=curve(grid), mode="lines", name="quadratic", line={"color": MUTED, "width": 2}, hoverinfo="skip"
    )
    spread = None if found.bootstrap is None else found.bootstrap.means
    bars = {}
    if spread is not None:
        low, high = spread
        ends = {"array": high - ratings.means, "arrayminus": ratings.means - low, "symmetric": False}
        bars["error_y"] = ends | {"thickness": 1.3, "width": 4, "color": BLUE}
    names = [escape(name, quote=False) for name in ratings.models]
    drawn.add_scatter(
        x=ratings.ssim, y=ratings.means, name="mean scores", mode="markers" if ratings.pairs else "markers+text",
        text=names, textposition="top left", marker={"size": 10, "color": BLUE}, textfont={"color": INK}, **bars,
    )  # fmt: skip
    drawn.add_scatter(
        x=[found.value], y=[found.score], name=f"score {found.score:g} at SSIM {found.value:.4f}", mode="markers",
        marker={"symbol": "x", "size": 12, "color": PAPER_COLOR},
    )  # fmt: skip
    drawn.add_hline(y=found.score, line={"color": PAPER_COLOR, "dash": "dot", "width": 1.2}, layer="below")
    drawn.add_vline(x=found.value, line={"color": PAPER_COLOR, "dash": "dash", "width": 1.6}, layer="below")
    if (ends := interval_of(curve, found.bootstrap)) is not None:
        drawn.add_vrect(x0=ends[0], x1=ends[1], fillcolor=PAPER_COLOR, opacity=0.1, line_width=0, layer="below")
    drawn.update_xaxes(title_text="SSIM on synthetic pairs", range=padded(list(ratings.ssim), least=0.005))
    drawn.update_yaxes(title_text="mean score of visual similarity", range=[-0.1, MAX_SCORE + 0.1])
    return drawn
