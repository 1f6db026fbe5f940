"""The report as one HTML page that needs no network: scripts, styles and images are inside it."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from plotly.offline import get_plotlyjs

from lightning_mm.reporting.compared import comparison_section
from lightning_mm.reporting.comparison import Comparison
from lightning_mm.reporting.html_search import importance_section, parallel_section, progress_section, trials_section
from lightning_mm.reporting.html_table import runs_table
from lightning_mm.reporting.plane import Plane
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.provenance import FLOPS_LABEL, LATENCY_LABEL, comparability_warnings, provenance
from lightning_mm.reporting.run import HAND_DESIGNED
from lightning_mm.reporting.samples import samples_section
from lightning_mm.reporting.scatter import MAX_QUARTILES, below_view, scatter
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.reporting.variants import variants_html
from lightning_mm.reporting.verdict import small_budget_note, verdict

# The browser itself refuses whatever would be loaded from elsewhere.
_POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_MAX_NAMED = 30
"""So many models of a front are named in the text; the table marks all."""

_ADVICE = "Pareto fronts and differences are taken within comparable runs only; do not compare across them."
_MINUS_HAND_DESIGNED = (
    "SSIM minus hand-designed",
    f"the model's mean SSIM minus that of the hand-designed model (named “{HAND_DESIGNED}”, or of its architecture) "
    "with equal steps, samples, crop, precision, validation set and definitions; not the paper's published number.",
)


def page(sweep: Sweep, comparisons: Sequence[Comparison] = ()) -> str:
    """The whole page.

    Args:
        sweep: The models; sample images are read from their directories.
        comparisons: Models beside the hand-designed one, for a section of their own.

    Returns:
        HTML that shows the same on any machine, offline.
    """
    body = "\n".join(
        [
            _header(sweep),
            _verdict(sweep),
            warning(comparability_warnings(sweep), _ADVICE),
            comparison_section(comparisons),
            *(_scatter(sweep, plane) for plane in sweep.planes),
            samples_section(sweep),
            parallel_section(sweep),
            importance_section(sweep),
            progress_section(sweep),
            variants_html(sweep),
            runs_table(sweep),
            trials_section(sweep),
            provenance_section(sweep),
            definitions_section([*definitions(sweep), _MINUS_HAND_DESIGNED]),
        ]
    )
    return document(f"{sweep.name}: quality against cost", body, f"<script>{_asset('report.js')}</script>")


def document(title: str, body: str, script: str = "") -> str:
    """A page of this project's looks, with plotly.js inside.

    Args:
        title: Title of the window, not escaped yet.
        body: HTML of its sections.
        script: HTML behind them.
    """
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_asset('report.css')}</style>"
        f"<script>{get_plotlyjs()}</script>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main>\n{script}</body></html>\n'
    )


def _asset(name: str) -> str:
    return files("lightning_mm.reporting").joinpath(name).read_text(encoding="utf-8")


def _header(sweep: Sweep) -> str:
    description = f'<p class="lead">{escape(sweep.description)}</p>' if sweep.description else ""
    return f"<header><p class=kicker>Quality against cost</p><h1>{escape(sweep.name)}</h1>{description}</header>"


def _verdict(sweep: Sweep) -> str:
    note = small_budget_note(sweep)
    return verdict_section([note] if note else [], verdict(sweep), sweep)


def verdict_section(notes: Sequence[str], sentences: Sequence[str], sweep: Sweep | None) -> str:
    """A page's verdict: notes in boxes, the sentences, and the facts that they hold for, where runs are known."""
    first, *rest = (escape(sentence) for sentence in sentences)
    lead = first if notes else f"<strong>{first}</strong>"  # what is no verdict does not look like one
    known = "" if sweep is None else facts(sweep)
    boxes = "".join(map(note_box, notes))
    return f"<section class=verdict>{boxes}<p>{lead} {' '.join(rest)}</p>{known}</section>"


def note_box(text: str) -> str:
    """A note whose words up to the first colon are bold."""
    start, _, rest = text.partition(": ")
    return f'<aside class="note"><strong>{escape(start)}:</strong> {escape(rest)}</aside>'


def facts(sweep: Sweep) -> str:
    """Budget, hardware and validation set at a glance."""
    shown = ("Steps", "Samples seen", "Crop", "Precision", "Seeds", "Hardware", "Validation set")
    rows = dict(provenance(sweep))
    items = "".join(f"<div><dt>{name}</dt><dd>{escape(rows[name])}</dd></div>" for name in shown)
    return f'<dl class="facts">{items}</dl>'


def warning(lines: Sequence[str], advice: str) -> str:
    """A box that lists in what runs differ that should not; empty where they do not."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        '<aside class="warning" id="warning"><strong>Not all runs are comparable.</strong> They differ in what is '
        f"listed below. {escape(advice)}<ul>{items}</ul></aside>"
    )


def _scatter(sweep: Sweep, plane: Plane) -> str:
    hidden = below_view(sweep)
    outside = ", ".join(f"{m.label} (SSIM {m.text('ssim', 4)})" for m in hidden[:_MAX_NAMED])
    outside += f" and {len(hidden) - _MAX_NAMED} more" if len(hidden) > _MAX_NAMED else ""
    below = f'<p class="small"><strong>Below the axis</strong>: {escape(outside)}.</p>' if hidden else ""
    fronts = [", ".join(model.label for model in front[:_MAX_NAMED]) for front in sweep.fronts(plane) if front]
    named = "; separately, on another budget: ".join(fronts) or f"none, as no run has both {plane.noun} and SSIM"
    reading = (
        "Up and to the left is better. The step line is the Pareto front: no model here is at once cheaper and better "
        "than one on it. Rings mark its members. Hover over a point for its hyperparameters."
    )
    main = plane is sweep.plane
    if not main:
        reading = "As above, with another cost."
    elif any(model.sd("ssim") is not None for model in sweep.models):
        reading += " Points are means over seeds, their bars one standard deviation; the front is that of the means."
    if plane.cost == "latency":
        bars = "" if len(sweep.trials) > MAX_QUARTILES else "bars from the first to the third quartile; "
        reading += f" Latency: median over repeats, {bars}{plane.conditions}. {_without_latency(sweep, plane)}"
    place = "scatter" if main else f"scatter-{plane.cost}"
    note = f'<p class="small">{escape(sweep.threshold.note)}</p>' if main else ""
    return (
        f'<section id="{place}-section"><h2>SSIM against {plane.noun}</h2><p>{escape(reading)}</p>'
        f"{plot(scatter(sweep, plane), place)}"
        f'<p class="small" id="{"front" if main else f"front-{plane.cost}"}"><strong>Pareto front</strong>, cheapest '
        f"first: {escape(named)}.</p>{below}{note}</section>"
    )


def _without_latency(sweep: Sweep, plane: Plane) -> str:
    missing = [model for model in sweep.models if plane.of(model) is None]
    if not missing:
        return ""
    names = ", ".join(model.label for model in missing[:6]) + (", ..." if len(missing) > 6 else "")
    verb = "is" if len(missing) == 1 else "are"
    return f"{names} {verb} left out: not measured, or under other conditions."


def provenance_section(sweep: Sweep) -> str:
    """How the numbers came about."""
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{escape(text)}</td></tr>' for name, text in provenance(sweep))
    return f'<section><h2>How the numbers came about</h2><table class="plain">{rows}</table></section>'


def definitions(sweep: Sweep) -> list[tuple[str, str]]:
    """What the metrics and costs of a page mean, as (what, text) rows."""
    found = dict.fromkeys(item for run in sweep.runs for item in run.results.definitions.items())
    size = sweep.runs[0].protocol()["frame size of the FLOPs"]
    rows = [(name.upper(), text) for name, text in found]
    rows.append(
        (
            FLOPS_LABEL,
            "multiply-accumulates of the convolutions, plus one per bias add, plus one per ReLU output, for a frame of "
            f"{size} pixels, each frame encoded once. One multiply-accumulate counts as one, so libraries that count "
            "two report about twice as much.",
        )
    )
    if any(plane.cost == "latency" for plane in sweep.planes):
        rows.append(
            (
                LATENCY_LABEL,
                "median milliseconds per frame of video in the steady state: one encoder pass, one manipulator, one "
                "decoder; of several seeds the mean.",
            )
        )
    return rows


def definitions_section(rows: Sequence[tuple[str, str]]) -> str:
    """Terms and what they mean."""
    cells = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    return f'<section><h2>Definitions</h2><table class="plain">{cells}</table></section>'
