"""A page that shows what a temporal filter does to each frequency."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from lightning_mm.errors import InputError
from lightning_mm.reporting.html import document, note_box
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.style import BLUE, MUTED, SERIES_COLORS, layout, log_ticks
from lightning_mm.runs import require_writable, write_text_atomically
from lightning_mm.temporal.advice import advice
from lightning_mm.temporal.design import Design

_FLOOR = -80.0
"""dB; what lies below is nothing to an eye."""
_NO_PHASE = 0.01
"""Gain below which the phase means nothing."""
_LOG_RATIO = 5.0
"""Ratio of the edges from which a logarithmic axis shows a band better."""
_POINTS = 1200


@dataclass(frozen=True)
class Spectrum:
    """A measured spectrum to draw beside a filter's gain.

    Attributes:
        frequencies: (N,) in Hz.
        amplitudes: (N,), not negative.
        title: What they are, with the unit.
    """

    frequencies: ArrayLike
    amplitudes: ArrayLike
    title: str = "measured motion [px]"


def write_response(
    design: Design, path: Path, frames: int | None = None, measured: Spectrum | None = None, overwrite: bool = False
) -> Path:
    """Write one HTML file, which needs no network, with gain and phase over frequency.

    Args:
        design: The filter.
        path: The file, of suffix .html; it appears whole or not at all.
        frames: Length of the clip where it is known, for the warnings.
        measured: A spectrum to draw with the gain.
        overwrite: Whether a file of this name may be replaced.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written, or exists already.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a filter's response is a page, a file of suffix .html")
    require_writable(path, "filter response")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; add '--overwrite true' or choose another name")
    try:
        write_text_atomically(path, page(design, frames, measured))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def page(design: Design, frames: int | None = None, measured: Spectrum | None = None) -> str:
    """The page.

    Args:
        design: The filter.
        frames: Length of the clip where it is known, for the warnings.
        measured: A spectrum to draw with the gain.
    """
    spec = design.spec
    lead, *rest = design.describe()
    title = f"Temporal filter, {spec.low:g} to {spec.high:g} Hz"
    boxes = "".join(note_box(f"Warning: {line}") for line in advice(design, frames))
    facts = "".join(f"<p>{escape(line[0].upper() + line[1:])}.</p>" for line in rest)
    parts = [
        f"<header><p class=kicker>Temporal filter</p><h1>{spec.low:g} to {spec.high:g} Hz</h1>"
        f"<p class=lead>{escape(lead.partition(': ')[2])}</p></header><section>{boxes}{facts}</section>",
        "<section><h2>Gain</h2><p>What share of a motion of each frequency is magnified. Shaded: the band."
        f"{' Dotted: the measured spectrum, on the right axis.' if measured else ''}</p>"
        f"{plot(_gain(design, measured), 'gain')}</section>",
        f"<section><h2>Gain in decibels</h2>{plot(_decibels(design), 'decibels')}</section>",
        "<section><h2>Phase</h2><p>How far the filtered motion is ahead (above 0) or behind (below). Within 90 degrees "
        f"of 0 it adds to the motion, beyond that it opposes it. Left out "
        f"where the gain is below {_NO_PHASE:g}.</p>{plot(_phase(design), 'phase')}</section>",
    ]
    return document(title, "\n".join(parts))


def _frequencies(design: Design) -> NDArray[np.float64]:
    """In Hz, dense where the gain changes and never 0, which a logarithmic axis cannot show."""
    spec, nyquist = design.spec, design.fps / 2.0
    low, high = _view(design)
    return np.unique(
        np.concatenate(
            [
                np.linspace(nyquist / _POINTS, nyquist, _POINTS),
                np.linspace(max(low, 1e-3 * spec.low), high, _POINTS),
                np.geomspace(spec.low / 20.0, nyquist, _POINTS // 2),
                [spec.low, spec.centre, spec.high],
            ]
        )
    )


def _is_log(design: Design) -> bool:
    return design.spec.high >= _LOG_RATIO * design.spec.low


def _view(design: Design) -> tuple[float, float]:
    """The frequencies in Hz that are shown first: the band and what lies beside it."""
    spec, nyquist = design.spec, design.fps / 2.0
    if _is_log(design):
        return spec.low / 10.0, min(spec.high * 10.0, nyquist)
    return max(0.0, spec.low - 4.0 * spec.width), min(nyquist, spec.high + 4.0 * spec.width)


def _figure(design: Design, title: str, y: NDArray[np.float64], hover: str) -> go.Figure:
    spec = design.spec
    drawn = go.Figure(layout=layout(340, right=70, top=30))
    drawn.add_scatter(
        x=_frequencies(design), y=y, mode="lines", name=title, line={"color": BLUE, "width": 2}, showlegend=False,
        hovertemplate=f"%{{x:.4g}} Hz: {hover}<extra></extra>",
    )  # fmt: skip
    drawn.add_vrect(x0=spec.low, x1=spec.high, fillcolor=BLUE, opacity=0.1, line_width=0, layer="below")
    low, high = _view(design)
    axis: dict[str, Any] = {"range": [low, high], "title_text": "frequency [Hz]"}
    if _is_log(design):
        ends = [float(np.log10(low)), float(np.log10(high))]
        axis = {"type": "log", "range": ends, "title_text": "frequency [Hz], log scale", **log_ticks()}
    drawn.update_xaxes(**axis)
    drawn.update_yaxes(title_text=title)
    return drawn


def _gain(design: Design, measured: Spectrum | None) -> go.Figure:
    gains = np.abs(design.response(_frequencies(design)))
    drawn = _figure(design, "gain", gains, "gain %{y:.3f}")
    drawn.update_yaxes(range=[0.0, 1.08 * max(1.0, float(gains.max()))])
    if measured is not None:
        _add_spectrum(drawn, measured, _is_log(design))
    return drawn


def _add_spectrum(drawn: go.Figure, measured: Spectrum, log: bool) -> None:
    hertz = np.asarray(measured.frequencies, dtype=np.float64)
    shown = hertz > 0.0 if log else np.full(hertz.shape, True)
    drawn.add_scatter(
        x=hertz[shown], y=np.asarray(measured.amplitudes, dtype=np.float64)[shown], mode="lines", yaxis="y2",
        line={"color": SERIES_COLORS[1], "width": 1.5, "dash": "dot"}, showlegend=False,
        hovertemplate="%{x:.4g} Hz: %{y:.4g}<extra></extra>",
    )  # fmt: skip
    drawn.update_layout(
        yaxis2={
            "title": {"text": escape(measured.title, quote=False), "font": {"size": 13}},
            "tickmode": "auto",
            "nticks": 6,
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        }
    )


def _decibels(design: Design) -> go.Figure:
    gains = np.abs(design.response(_frequencies(design)))
    decibels = 20.0 * np.log10(np.maximum(gains, 10.0 ** (_FLOOR / 20.0)))
    drawn = _figure(design, "gain [dB]", decibels, "%{y:.1f} dB")
    drawn.update_yaxes(range=[_FLOOR, max(6.0, float(decibels.max()) + 2.0)])
    drawn.add_hline(y=-3.0, line={"color": MUTED, "dash": "dot", "width": 1.2}, layer="below")
    return drawn


def _phase(design: Design) -> go.Figure:
    response = design.response(_frequencies(design))
    degrees = np.degrees(np.angle(response))
    degrees[np.abs(response) < _NO_PHASE] = np.nan
    # A line across the wrap, from -180 to 180, would look like a fast change.
    wraps = np.abs(np.diff(degrees)) > 180.0
    degrees[:-1][wraps] = np.nan
    drawn = _figure(design, "phase [degrees]", degrees, "%{y:.0f} degrees")
    drawn.update_yaxes(range=[-190.0, 190.0], tickvals=[-180, -90, 0, 90, 180])
    return drawn
