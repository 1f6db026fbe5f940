"""The page of a measurement: one HTML file that needs no network."""

from html import escape
from pathlib import Path

from lightning_mm.measuring.figures import frame_figure, picture_uri, spectrum_figure, waveform_figure
from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.printing import peak_cells, suggestion_lines, summary_lines
from lightning_mm.reporting.html import definitions_section, document, note_box
from lightning_mm.reporting.plot import plot

_NOTE = (
    "Not a calibrated or medical device: numbers here come from a video alone. Check what matters with an instrument "
    "that is made for it."
)
_TERMS = [
    (
        "Displacement",
        "sub-pixel, against the first frame: Lucas-Kanade over patches of 31 px, in a pyramid and then refined by "
        "least squares between frames interpolated by cubic B-splines. Of a region, the median over its corners. "
        "Positive x is to the right, positive y down.",
    ),
    (
        "Edges",
        "where a patch shows one straight edge, only motion across it can be seen; motion along it counts as 0.",
    ),
    (
        "Amplitude",
        "of a component, zero to peak, along its own direction: half of its peak-to-peak. Spectra: Hann window, linear "
        "trend removed; clips of more than 1,024 frames in half-overlapping segments of that length, their power "
        "averaged. Over a grid, the root mean square over the points that were followed.",
    ),
    (
        "Noise floor",
        "the running median of the spectrum over 25 frequencies. A peak counts from four times the floor.",
    ),
]


def page(found: Findings, command: str | None = None) -> str:
    """The whole page.

    Args:
        found: What was measured.
        command: The command that magnifies the suggested band.
    """
    name = Path(found.source).name or found.source
    lines = [*summary_lines(found), *suggestion_lines(found)]
    verdict = "".join(f"<p>{escape(line)}</p>" for line in lines)
    shown = f"<p><code>{escape(command)}</code></p>" if command else ""
    parts = [
        f"<header><p class=kicker>Measured motion</p><h1>{escape(name)}</h1></header>",
        f'<section class="verdict">{note_box(_NOTE)}{verdict}{shown}</section>',
        f'<section id="where"><h2>Where</h2><p>{escape(_where(found))}</p>'
        f"{plot(frame_figure(found), 'frame')}</section>",
    ]
    if found.spectrum is not None:
        parts += [
            f'<section id="waveform"><h2>Displacement over time</h2>{plot(waveform_figure(found), "waveform-plot")}'
            "</section>",
            f'<section id="spectrum"><h2>Spectrum</h2>{plot(spectrum_figure(found), "spectrum-plot")}'
            f"{_peak_table(found)}</section>",
        ]
    if found.slice is not None:
        image = f'<img alt="slice" style="max-width:100%" src="{picture_uri(found.slice, "PNG")}">'
        parts.append(f'<section id="slice"><h2>Slice</h2><figure>{image}</figure></section>')
    parts.append(definitions_section(_TERMS))
    return document(f"Measured motion: {name}", "\n".join(parts))


def _where(found: Findings) -> str:
    left, top, width, height = found.region
    text = f"The first frame, and the region of {width} x {height} px at ({left}, {top})."
    if found.grid is not None:
        text += " Diamonds are points on an edge; points without texture and points that were lost are grey."
    return text


def _peak_table(found: Findings) -> str:
    columns, rows = peak_cells(found)
    if not rows:
        return "<p>No component stands out of the noise.</p>"
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="plain numbers" id="peaks"><tr>{head}</tr>{body}</table></div>'
