"""A page about one removal: the switches over the steps, and what was cut (the paper's Section 5.1)."""

from html import escape
from pathlib import Path

import plotly.graph_objects as go

from lightning_mm.removal.record import MARKS, Removal
from lightning_mm.reporting.html import document
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.style import BLUE, INK, OTHER_COLOR, PAPER_COLOR, layout
from lightning_mm.reporting.writing import write_report

PAGE_FILE = "removal.html"
_LINE_PX = 15


def write_removal(removal: Removal, run_dir: Path) -> Path:
    """Write ``removal.html`` into a run directory.

    Returns:
        The page.

    Raises:
        InputError: It cannot be written.
    """
    write_report(run_dir, {run_dir / PAGE_FILE: page(removal, run_dir.name)})
    return run_dir / PAGE_FILE


def page(removal: Removal, name: str) -> str:
    """The page as HTML that shows the same on any machine, offline.

    Args:
        removal: The removal.
        name: Of the run.
    """
    settings = removal.settings
    counts = {
        "mark": f"{removal.mark} ({MARKS[removal.mark]})",
        "parameters": f"{removal.before['params']:,} → {removal.after['params']:,}",
        "the paper's FLOPs at 384 x 384": f"{_giga(removal.before)} → {_giga(removal.after)}",
    }
    items = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in counts.items())
    about = (
        f"Trained from {removal.weights} for {removal.steps:,} steps with a switch around each component: "
        "F(x) = (1 - ω) component(x) + ω rest(x), and the loss task + λ · mean(1 - ω^p) with "
        f"λ = {settings['weight']:g}, p = {settings['power']:g}, a learning rate of {settings['lr']:g} for ω. "
        f"What ended above τ = {settings['threshold']:g} was cut."
    )
    title = f"{name}: {settings['part']}, {settings['component']}"
    body = (
        f"<header><p class=kicker>Learning to remove</p><h1>{escape(title)}</h1></header>"
        f"<section class=verdict><p><strong>{escape(removal.description)}.</strong></p>"
        f'<dl class="counts">{items}</dl></section>'
        f"<section><h2>Switches while they were trained</h2>{plot(figure(removal), 'omegas')}"
        f'<p class="small">{escape(about)}</p></section>'
    )
    return document(f"{title}: learning to remove", body)


def figure(removal: Removal) -> go.Figure:
    """Omega of every component over the steps, with the threshold and the names at the ends."""
    drawn = go.Figure(layout=layout(420, right=150, top=44))
    steps, threshold = removal.curve["steps"], removal.settings["threshold"]
    shown: set[bool] = set()
    for component in removal.components:
        name, removed = component["name"], component["removed"]
        drawn.add_scatter(
            x=steps, y=removal.curve["omegas"][name],
            mode="lines", name="removed" if removed else "kept", legendgroup=str(removed),
            showlegend=removed not in shown,
            line={"color": PAPER_COLOR if removed else BLUE, "width": 2, "dash": "solid" if removed else "dash"},
            hovertemplate=f"<b>{escape(name)}</b><br>step %{{x}}, ω %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
        shown.add(removed)
    _name_ends(drawn, removal)
    drawn.add_hline(y=threshold, line={"color": OTHER_COLOR, "dash": "dot", "width": 1.4}, layer="below")
    drawn.add_annotation(
        x=0, xref="paper", y=threshold, xanchor="left", yanchor="bottom", showarrow=False, text=f"τ = {threshold:g}",
        font={"size": 12, "color": OTHER_COLOR},
    )  # fmt: skip
    drawn.update_xaxes(title_text="step", range=[0, max(steps[-1], 1)])
    drawn.update_yaxes(title_text="ω", range=[-0.04, 1.08], tickvals=[0, 0.2, 0.4, 0.6, 0.8, 1])
    return drawn


def _name_ends(drawn: go.Figure, removal: Removal) -> None:
    """Write each component's name beside its end; those that end together share a line of text."""
    pixels = (420 - 44 - 56) / 1.12  # of the figure's height per unit of omega
    groups: list[tuple[float, list[str]]] = []
    for component in sorted(removal.components, key=lambda one: one["omega"]):
        if groups and (component["omega"] - groups[-1][0]) * pixels < _LINE_PX:
            groups[-1][1].append(component["name"])
        else:
            groups.append((component["omega"], [component["name"]]))
    for omega, names in groups:
        part = names[0].partition(".")[0]
        numbers = ", ".join(map(str, sorted(int(name.partition(".")[2]) for name in names)))
        drawn.add_annotation(
            x=1, xref="paper", y=omega, xanchor="left", xshift=6, showarrow=False, text=f"{part} {numbers}",
            font={"size": 12, "color": INK}, align="left",
        )  # fmt: skip


def _giga(cost: dict[str, int]) -> str:
    return f"{cost['paper_flops'] / 1e9:.2f} G"
