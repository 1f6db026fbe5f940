"""Figures of measured motion: where it was measured, the waveform, the spectrum."""

import base64
import io
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.grid import LOST
from lightning_mm.measuring.spectrum import ABOVE_FLOOR, Spectrum
from lightning_mm.measuring.tracking import EDGE, FLAT
from lightning_mm.reporting.style import INK, MUTED, SERIES_COLORS, layout
from lightning_mm.video.pixels import as_depth

_WIDEST = 1200
_FIGURE_WIDTH = 1100
_LONGEST = 20_000
"""So many frames of a waveform are drawn."""


def frame_figure(found: Findings) -> go.Figure:
    """The first frame with the region, and with the points of a grid in the colour of their amplitude."""
    height, width = found.first.shape[:2]
    tall = int(np.clip(_FIGURE_WIDTH * height / width, 160, 620))
    figure = go.Figure(layout=layout(tall + 60, right=90, left=66, top=30, bottom=48))
    uri = picture_uri(_small(found.first), "JPEG")
    figure.add_layout_image(
        source=uri, xref="x", yref="y", x=-0.5, y=-0.5, sizex=width, sizey=height, sizing="stretch", layer="below"
    )
    left, top, wide, high = found.region
    figure.add_shape(
        type="rect", x0=left - 0.5, y0=top - 0.5, x1=left + wide - 0.5, y1=top + high - 0.5,
        line={"color": "#ffffff", "width": 3},
    )  # fmt: skip
    figure.add_shape(
        type="rect", x0=left - 0.5, y0=top - 0.5, x1=left + wide - 0.5, y1=top + high - 0.5,
        line={"color": SERIES_COLORS[1], "width": 1.5},
    )  # fmt: skip
    if found.grid is None:
        figure.add_scatter(x=[], y=[], mode="markers", showlegend=False)
    else:
        _add_points(figure, found)
    figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", showgrid=False, title_text="x [px]")
    figure.update_yaxes(
        range=[height - 0.5, -0.5], scaleanchor="x", constrain="domain", showgrid=False, title_text="y [px]"
    )
    return figure


def _add_points(figure: go.Figure, found: Findings) -> None:
    grid, scale = found.grid, found.scale
    assert grid is not None
    peaks = found.peaks
    sizes = grid.amplitude_at(peaks[0].frequency) if peaks else grid.rms()
    for kinds, name in (((FLAT,), "no texture"), ((LOST,), "lost")):
        here = grid.points[np.isin(grid.kinds, kinds)]
        if len(here):
            figure.add_scatter(
                x=here[:, 0], y=here[:, 1], mode="markers", name=name,
                marker={"symbol": "circle-open" if name == "no texture" else "x-thin-open", "size": 5, "color": MUTED},
            )  # fmt: skip
    if not grid.followed.any():
        return
    shown = sizes[grid.followed] * scale.shown
    kinds = grid.kinds[grid.followed]
    hover = f"(%{{x:.1f}}, %{{y:.1f}})<br>%{{customdata[1]:.4g}} {scale.unit}, %{{customdata[0]}}<extra></extra>"
    title = f"amplitude<br>at {peaks[0].frequency:.4g} Hz<br>[{scale.unit}]" if peaks else f"rms<br>[{scale.unit}]"
    figure.add_scatter(
        x=grid.points[grid.followed, 0], y=grid.points[grid.followed, 1], mode="markers", name="followed",
        showlegend=False, customdata=np.stack([kinds.astype(object), shown.astype(object)], axis=1),
        hovertemplate=hover,
        marker={
            "size": 9, "color": shown, "colorscale": "Viridis", "cmin": 0.0, "line": {"width": 1, "color": "white"},
            "symbol": ["diamond" if kind == EDGE else "circle" for kind in kinds],
            "colorbar": {"title": {"text": title}, "thickness": 14},
        },
    )  # fmt: skip


def waveform_figure(found: Findings) -> go.Figure:
    """Displacement over time: of the region, of the point that moves most, or before and after magnification."""
    series: dict[str, NDArray[np.float64]]
    if found.comparison is not None and found.motion is not None and found.magnified is not None:
        axis = found.comparison.direction
        series = {
            "input": found.motion.displacement @ axis,
            "magnified": found.magnified.displacement @ axis,
        }
        what = f"along ({axis[0]:.2f}, {axis[1]:.2f})"
    else:
        moved, what = _shown_motion(found)
        series = {"x": moved[:, 0], "y": moved[:, 1]}
    figure = go.Figure(layout=layout(340, right=24))
    for color, (name, values) in zip(SERIES_COLORS, series.items(), strict=False):
        part = values[:_LONGEST] * found.scale.shown
        figure.add_scatter(
            x=_rounded(np.arange(len(part)) / found.fps), y=_rounded(part), mode="lines", name=name,
            line={"color": color, "width": 1.5},
        )  # fmt: skip
    figure.update_xaxes(title_text="time [s]")
    figure.update_yaxes(title_text=f"displacement {what} [{found.scale.unit}]".replace("  ", " "))
    return figure


def _shown_motion(found: Findings) -> tuple[NDArray[np.float64], str]:
    if found.grid is None:
        assert found.motion is not None
        return found.motion.displacement, ""
    grid = found.grid
    peaks = found.peaks
    sizes = grid.amplitude_at(peaks[0].frequency) if peaks else grid.rms()
    point = int(np.nanargmax(sizes))
    x, y = grid.points[point]
    return grid.displacement[:, point], f"of point {point} at ({x:.0f}, {y:.0f})"


def spectrum_figure(found: Findings) -> go.Figure:
    """Amplitude over frequency with its noise floor and peaks, and of the magnified clip where there is one."""
    spectra: dict[str, Spectrum] = {}
    peaks = found.peaks
    if found.spectrum is not None:
        name = "region" if found.grid is None else "points, root mean square"
        spectra["input" if found.magnified is not None else name] = found.spectrum
    if found.magnified is not None:
        spectra["magnified"] = found.magnified.spectrum()
    figure = go.Figure(layout=layout(380, right=24))
    factor = found.scale.shown
    for color, (name, spectrum) in zip(SERIES_COLORS, spectra.items(), strict=False):
        figure.add_scatter(
            x=_rounded(spectrum.frequencies[1:]), y=_rounded(spectrum.amplitude[1:] * factor), mode="lines", name=name,
            line={"color": color, "width": 1.5},
        )  # fmt: skip
    first = next(iter(spectra.values()))
    figure.add_scatter(
        x=_rounded(first.frequencies[1:]), y=_rounded(ABOVE_FLOOR * first.floor[1:] * factor), mode="lines",
        name=f"{ABOVE_FLOOR:g} times the noise floor", line={"color": MUTED, "dash": "dot", "width": 1.2},
    )  # fmt: skip
    if peaks:
        at = [int(np.argmin(np.abs(first.frequencies - peak.frequency))) for peak in peaks]
        figure.add_scatter(
            x=[peak.frequency for peak in peaks], y=_rounded(first.amplitude[at] * factor), mode="markers+text",
            text=[f"{peak.frequency:.4g} Hz" for peak in peaks], textposition="top center", showlegend=False,
            textfont={"color": INK}, marker={"color": INK, "size": 6}, cliponaxis=False,
        )  # fmt: skip
    if found.suggestion is not None:
        figure.add_vrect(
            x0=found.suggestion.low, x1=found.suggestion.high, fillcolor=SERIES_COLORS[2], opacity=0.14, line_width=0,
            layer="below",
        )  # fmt: skip
    top = max(float(spectrum.amplitude[1:].max()) for spectrum in spectra.values()) * factor
    low = min(float(np.quantile(spectrum.amplitude[1:], 0.02)) for spectrum in spectra.values()) * factor
    low = min(max(low, 1e-6 * top), 0.5 * top) if top > 0.0 else 1e-6
    figure.update_yaxes(
        type="log", range=[np.log10(low) - 0.1, np.log10(max(top, low)) + 0.25], exponentformat="power", dtick=1,
        title_text=f"amplitude, zero to peak [{found.scale.unit}]",
    )  # fmt: skip
    figure.update_xaxes(title_text="frequency [Hz]", range=[0.0, 0.5 * found.fps])
    return figure


def picture_uri(picture: Image.Image, kind: str) -> str:
    """A picture as a data address; ``kind`` is "PNG" or "JPEG"."""
    content = io.BytesIO()
    picture.save(content, format=kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _small(frame: NDArray[Any]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(as_depth(frame, 8)))
    picture.thumbnail((_WIDEST, _WIDEST))
    return picture


def _rounded(values: NDArray[np.floating]) -> list[float | None]:
    """Six significant digits, for a page of moderate size; gaps stay gaps."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
