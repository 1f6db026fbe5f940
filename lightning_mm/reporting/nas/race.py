"""The page of ``lightning-mm nas race``: is what the searches found better than the hand-designed network?"""

from html import escape
from pathlib import Path

from lightning_mm.markdown import as_cell
from lightning_mm.reporting.html import definitions, definitions_section, document, provenance_section, verdict_section
from lightning_mm.reporting.html import warning as warning_box
from lightning_mm.reporting.nas.blocks import KINDS, blocks_svg, of_arch
from lightning_mm.reporting.nas.race_figures import best_figure, finalists_figure, networks_figure, volume_figure
from lightning_mm.reporting.nas.race_records import Race, finalist_name, read_race
from lightning_mm.reporting.nas.race_tables import (
    Grid,
    arms_grid,
    claim_grid,
    finalists_grid,
    genes_grid,
    ranking_grid,
    subpixel_grid,
    supernet_facts,
)
from lightning_mm.reporting.nas.race_verdict import (
    arms_note,
    finalists_note,
    front_text,
    networks_note,
    notes,
    progress_note,
    ranking_note,
    ranking_text,
    rule,
    subpixel_note,
    verdict,
)
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.provenance import comparability_warnings, provenance_lines
from lightning_mm.reporting.writing import write_report

PAGE_FILE, MARKDOWN_FILE = "race.html", "race.md"
_ADVICE = "The claim holds only where they agree in all of it."


def write_race(directory: Path) -> Path:
    """Write ``race.html`` and ``race.md`` about a race, finished or not.

    Args:
        directory: Of ``lightning-mm nas race``.

    Returns:
        The page.

    Raises:
        InputError: The directory holds no race, a record is not readable, or the files cannot be written.
    """
    race = read_race(directory)
    texts = {MARKDOWN_FILE: markdown(race), PAGE_FILE: page(race)}
    write_report(directory, {directory / name: text for name, text in texts.items()})
    return directory / PAGE_FILE


def page(race: Race) -> str:
    """The page as HTML that shows the same on any machine, offline."""
    record, runs, claim = race.record, race.runs, race.claim
    lead = f'<p class="lead">{escape(record.description)}</p>' if record.description else ""
    body = [
        f"<header><p class=kicker>A race of architecture searches</p><h1>{escape(record.name)}</h1>{lead}</header>",
        _verdict(race),
        "" if runs is None else warning_box(comparability_warnings(runs), _ADVICE),
        "" if claim is None else _section("claim", "The rule", _grid(claim_grid(claim), rule(race))),
        _section("progress", "Progress against device seconds", _progress(race)),
        _section("networks", "SSIM against FLOPs", _networks(race)),
        _section("ranking", "How well cheap estimates rank", _ranking(race)),
        _section("arms", "The arms", _grid(arms_grid(race), arms_note(race), *supernet_facts(race))),
        _section("finalists", "The finalists", _finalists(race)) if record.finalists else "",
        _section("subpixel", "Subpixel test", _subpixel(race)),
    ]
    if runs is not None:
        body += [provenance_section(runs), definitions_section(definitions(runs))]
    return document(f"{record.name}: a race of architecture searches", "\n".join(body))


def markdown(race: Race) -> str:
    """Sentences and tables in Markdown."""
    runs, claim, genes, subpixel = race.runs, race.claim, genes_grid(race), subpixel_grid(race)
    parts = [
        f"# {as_cell(race.record.name)}",
        as_cell(race.record.description),
        *notes(race),
        " ".join(verdict(race)),
    ]
    if claim is not None:
        parts += ["## The rule", claim_grid(claim).markdown(), rule(race)]
    parts += ["## The arms", arms_grid(race).markdown(), arms_note(race), *supernet_facts(race), front_text(race)]
    parts += ["## How well cheap estimates rank", ranking_text(race)]
    parts += [ranking_grid(race).markdown(), ranking_note(race)] if race.rankings else []
    if race.record.finalists:
        parts += ["## The finalists", finalists_grid(race).markdown(), finalists_note(race)]
    parts += [] if genes is None else [genes.markdown()]
    parts += [] if subpixel is None else ["## Subpixel test", subpixel.markdown(), subpixel_note(race)]
    if runs is not None:
        parts += ["## How the numbers came about", provenance_lines(runs)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _verdict(race: Race) -> str:
    titled = [note if ": " in note else f"Note: {note}" for note in notes(race)]
    return verdict_section(titled, verdict(race), race.runs)


def _section(identifier: str, title: str, inner: str) -> str:
    return f'<section id="{identifier}"><h2>{escape(title)}</h2>{inner}</section>' if inner else ""


def _grid(grid: Grid, *said: str) -> str:
    return grid.html() + "".join(f'<p class="small">{escape(text)}</p>' for text in said)


def _progress(race: Race) -> str:
    said = f"<p>{escape(progress_note(race))}</p>"
    if not any(curve.seconds for curve in race.curves()):
        return said
    return said + plot(volume_figure(race), "volume") + plot(best_figure(race), "best")


def _networks(race: Race) -> str:
    front = f'<p class="small">{escape(front_text(race))}</p>'
    finalists = "" if race.runs is None else plot(finalists_figure(race), "final")
    return f"<p>{escape(networks_note(race))}</p>{plot(networks_figure(race), 'measured')}{front}{finalists}"


def _ranking(race: Race) -> str:
    table = _grid(ranking_grid(race), ranking_note(race)) if race.rankings else ""
    return f"<p>{escape(ranking_text(race))}</p>{table}"


def _finalists(race: Race) -> str:
    genes = genes_grid(race)
    strips = [
        of_arch(finalist_name(name), f"{entry['gflops']:.2f} G, {entry['params']:,} parameters", entry["arch"])
        for name, entry in race.record.finalists.items()
    ]
    table = "" if genes is None else f"<h3>Architectures</h3>{genes.html()}"
    drawn = f"<h3>As residual blocks, in the order of the signal</h3><div class=drawn>{blocks_svg(strips)}</div>"
    others = {kind for entry in race.record.finalists.values() for kind in entry["arch"].get("decoder_body") or ()}
    if others := sorted(others - set(KINDS)):
        drawn += f'<p class="small">Grey: {escape(", ".join(others))}, as the table says.</p>'
    return f"{_grid(finalists_grid(race), finalists_note(race))}{table}{drawn}"


def _subpixel(race: Race) -> str:
    grid = subpixel_grid(race)
    return "" if grid is None else _grid(grid, subpixel_note(race))
