"""The report as one HTML page that needs no network: scripts, styles and images are inside it."""

import base64
from html import escape
from importlib.resources import files

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from lightning_mm.reporting.collect import HAND_DESIGNED, Run, Sweep
from lightning_mm.reporting.figures import MAX_LINES, below_view, parallel_coordinates, scatter
from lightning_mm.reporting.html_table import runs_table
from lightning_mm.reporting.variants import variants_html
from lightning_mm.reporting.verdict import (
    FLOPS_LABEL,
    THRESHOLD_NOTE,
    comparability_warnings,
    metric_text,
    provenance,
    small_budget_note,
    verdict,
)

# The browser itself refuses whatever would be loaded from elsewhere.
_POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_FRAMES = ("frame A", "frame B", "target", "output")
_STATES = ("complete", "failed", "pruned", "running", "waiting")


def page(sweep: Sweep) -> str:
    """The whole page.

    Args:
        sweep: The runs; sample images are read from their directories.

    Returns:
        HTML that shows the same on any machine, offline.
    """
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(sweep.name)}: quality against cost</title><style>{_asset('report.css')}</style>"
        f"<script>{get_plotlyjs()}</script>"
    )
    body = "\n".join(
        [
            _header(sweep),
            _verdict(sweep),
            _warnings(sweep),
            _scatter(sweep),
            _parallel(sweep),
            variants_html(sweep),
            runs_table(sweep),
            _samples(sweep),
            _trials(sweep),
            _provenance(sweep),
            _definitions(sweep),
        ]
    )
    script = f"<script>{_asset('report.js')}</script>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main>\n{script}</body></html>\n'
    )


def _asset(name: str) -> str:
    return files("lightning_mm.reporting").joinpath(name).read_text(encoding="utf-8")


def _header(sweep: Sweep) -> str:
    description = f'<p class="lead">{escape(sweep.description)}</p>' if sweep.description else ""
    return f"<header><p class=kicker>Quality against cost</p><h1>{escape(sweep.name)}</h1>{description}</header>"


def _verdict(sweep: Sweep) -> str:
    first, *rest = (escape(sentence) for sentence in verdict(sweep))
    note = small_budget_note(sweep)
    box = f'<aside class="note">{_bold_start(note)}</aside>' if note else ""
    lead = first if note else f"<strong>{first}</strong>"  # what is no verdict does not look like one
    return f"<section class=verdict>{box}<p>{lead} {' '.join(rest)}</p>{_facts(sweep)}</section>"


def _facts(sweep: Sweep) -> str:
    shown = ("Steps", "Samples seen", "Crop", "Precision", "Seed", "Hardware", "Validation set")
    rows = dict(provenance(sweep))
    items = "".join(f"<div><dt>{name}</dt><dd>{escape(rows[name])}</dd></div>" for name in shown)
    return f'<dl class="facts">{items}</dl>'


def _warnings(sweep: Sweep) -> str:
    lines = comparability_warnings(sweep)
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        '<aside class="warning" id="warning"><strong>Not all runs are comparable.</strong> They differ in what is '
        "listed below. Pareto fronts and differences are taken within comparable runs only; do not compare across them."
        f"<ul>{items}</ul></aside>"
    )


def _scatter(sweep: Sweep) -> str:
    hidden = below_view(sweep)
    outside = ", ".join(f"{run.label} (SSIM {metric_text(run, 'ssim', 4)})" for run in hidden)
    below = f'<p class="small"><strong>Below the axis</strong>: {escape(outside)}.</p>' if hidden else ""
    fronts = [", ".join(run.label for run in front) for front in sweep.fronts() if front]
    named = "; separately, on another budget: ".join(fronts) or "none, as no run has both FLOPs and SSIM"
    reading = (
        "Up and to the left is better. The step line is the Pareto front: no model here is at once cheaper and better "
        "than one on it. Rings mark its members. Hover over a point for its hyperparameters."
    )
    return (
        f"<section><h2>SSIM against FLOPs</h2><p>{reading}</p>{_figure(scatter(sweep), 'scatter')}"
        f'<p class="small" id="front"><strong>Pareto front</strong>, cheapest first: {escape(named)}.</p>{below}'
        f'<p class="small">{escape(THRESHOLD_NOTE)}</p></section>'
    )


def _parallel(sweep: Sweep) -> str:
    figure = parallel_coordinates(sweep)
    if figure is None:
        return ""
    shown = f"the best {MAX_LINES} trials" if len(sweep.trials) > MAX_LINES else "every trial"
    reading = (
        f"One line for {shown}; the darker, the higher its SSIM, and the thick line is the best. Hover for its values."
    )
    return f"<section><h2>Hyperparameters of the trials</h2><p>{reading}</p>{_figure(figure, 'parallel')}</section>"


def _figure(figure: go.Figure, identifier: str) -> str:
    config = {"displaylogo": False, "responsive": True, "modeBarButtons": [["toImage", "resetScale2d"]]}
    inner = to_html(figure, config=config, include_plotlyjs=False, full_html=False, div_id=identifier)
    return f'<figure class="plot">{inner}</figure>'


def _samples(sweep: Sweep) -> str:
    chosen: list[tuple[str, Run]] = [(f"Best trial: {run.label}", run) for run in sweep.trials[:1]]
    chosen += [("Hand-designed model", r) for r in sweep.runs if r.is_hand_designed][:1]
    chosen += [("Baseline (Oh et al.)", r) for r in sweep.runs if r.is_baseline][:1]
    chosen = chosen or [(run.label, run) for run in sweep.runs[:1]]
    shown = "".join(_sample(title, run) for title, run in chosen)
    return (
        "<section><h2>Sample images</h2><p>Fixed validation pairs, the same for every model: from frames A and B it "
        "should produce the target. Click an image to enlarge it.</p>"
        f'<div class="samples">{shown}</div></section>'
    )


def _sample(title: str, run: Run) -> str:
    line = f"SSIM {metric_text(run, 'ssim', 4)}" + ("" if run.gflops is None else f", {run.gflops:.2f} G FLOPs")
    caption = f"<figcaption><strong>{escape(title)}</strong> <span>{line}</span></figcaption>"
    try:
        data = base64.b64encode(run.samples_file.read_bytes()).decode("ascii")
    except OSError:
        return f'<figure>{caption}<p class="small">This run left no {escape(run.samples_file.name)}.</p></figure>'
    columns = "".join(f"<span>{name}</span>" for name in _FRAMES)
    alt = escape(f"{title}: columns {', '.join(_FRAMES)}")
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    return f'<figure>{caption}<div class="columns">{columns}</div>{image}</figure>'


def _trials(sweep: Sweep) -> str:
    if not sweep.counts:
        return ""
    target = "" if sweep.target_trials is None else f"<div><dt>asked for</dt><dd>{sweep.target_trials}</dd></div>"
    states = [*_STATES, *(state for state in sweep.counts if state not in _STATES)]
    items = "".join(
        f"<div><dt>{escape(state)}</dt><dd>{escape(str(sweep.counts[state]))}</dd></div>"
        for state in states
        if state in sweep.counts
    )
    failures = "".join(
        f"<li><strong>trial {escape(str(failure.get('number', '?')))}</strong>: "
        f"{escape(str(failure.get('reason', 'no reason recorded')))}</li>"
        for failure in sweep.failures
    )
    reasons = f'<p class="small">Reasons of the failed trials:</p><ul class="small">{failures}</ul>' if failures else ""
    command = f"<p class=small>Command: <code>{escape(sweep.command)}</code></p>" if sweep.command else ""
    return f'<section><h2>Trials</h2><dl class="counts">{target}{items}</dl>{reasons}{command}</section>'


def _provenance(sweep: Sweep) -> str:
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{escape(text)}</td></tr>' for name, text in provenance(sweep))
    return f'<section><h2>How the numbers came about</h2><table class="plain">{rows}</table></section>'


def _definitions(sweep: Sweep) -> str:
    found = dict.fromkeys(item for run in sweep.runs for item in run.results.definitions.items())
    rows = "".join(f'<tr><th scope="row">{escape(k.upper())}</th><td>{escape(v)}</td></tr>' for k, v in found)
    size = next(iter(sweep.runs)).protocol()["frame size of the FLOPs"]
    flops = (
        f"multiply-accumulates of the convolutions, plus one per bias add, plus one per ReLU output, for a frame of "
        f"{size} pixels, each frame encoded once. One multiply-accumulate counts as one, so libraries that count two "
        "report about twice as much."
    )
    difference = (
        f"the run's SSIM minus that of the run named “{HAND_DESIGNED}” with equal steps, samples, crop, precision, "
        "validation set and definitions; not the paper's published number."
    )
    return (
        f'<section><h2>Definitions</h2><table class="plain">{rows}'
        f'<tr><th scope="row">{escape(FLOPS_LABEL)}</th><td>{escape(flops)}</td></tr>'
        f'<tr><th scope="row">SSIM minus hand-designed</th><td>{escape(difference)}</td></tr></table></section>'
    )


def _bold_start(text: str) -> str:
    start, _, rest = text.partition(": ")
    return f"<strong>{escape(start)}:</strong> {escape(rest)}"
