"""The page of ``lightning-mm nas appendix``: the paper's Fig. A2 and A3 from our numbers, beside the paper's."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from lightning_mm.reporting.html import definitions, definitions_section, document, provenance_section, verdict_section
from lightning_mm.reporting.html import warning as warning_box
from lightning_mm.reporting.nas.appendix_figures import history, scatter
from lightning_mm.reporting.nas.appendix_records import FOUND, RANDOM, Appendix, Network, Row, read_appendix
from lightning_mm.reporting.nas.appendix_table import RESULTS, SEARCH, csv_text, html_table, markdown_table
from lightning_mm.reporting.nas.appendix_verdict import below_floor, verdict
from lightning_mm.reporting.nas.blocks import Drawing, blocks_svg, of_arch, of_genes
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.provenance import comparability_warnings, provenance_lines
from lightning_mm.reporting.run import plain
from lightning_mm.reporting.threshold import PAPER_THRESHOLD
from lightning_mm.reporting.verdict import small_budget_note
from lightning_mm.reporting.writing import write_report

PAGE_FILE, MARKDOWN_FILE, CSV_FILE = "nas.html", "nas.md", "nas.csv"
TITLE = "One-shot search, after the paper's Appendix C"

_ADVICE = "Compare only networks that agree in all of it."
_SETS = (
    "Three sets of pairs are kept apart: scores with inherited weights are on the search pairs, which are of the "
    "training split but kept out of training; trainings from scratch are measured on the validation pairs; the paper's "
    "numbers are on its own set. Numbers on different sets do not compare."
)
_COLUMNS = (
    "found: the network that the search chose; random: one of its space at nearly its cost; plain: kernel 3 everywhere "
    "and nothing skipped, where the cap admits it. From scratch: mean ± standard deviation over seeds. A dash: no such "
    "number. The paper prints no numbers of row d, and no caps of e and f, which are taken from rows of equal width."
)
_SEARCH = (
    "Inverted: the supernet gives its largest network a lower SSIM than its smallest, so that larger networks look "
    "worse than they are. Infeasible: proposals above the cap; duplicates: those that had been evaluated; filled: "
    "random networks in the place of children that were not found. Cost percentile: the share of random admitted "
    "networks that cost less than the one found; near 0 %, the search has chosen what is cheap."
)


def write_appendix(directory: Path) -> Path:
    """Write ``nas.html``, ``nas.md`` and ``nas.csv`` about the rows in a directory.

    Args:
        directory: Of ``lightning-mm nas appendix``.

    Returns:
        The page.

    Raises:
        InputError: The directory holds no row, a record is not readable, or the files cannot be written.
    """
    appendix = read_appendix(directory)
    texts = {MARKDOWN_FILE: markdown(appendix), CSV_FILE: csv_text(appendix.rows), PAGE_FILE: page(appendix)}
    write_report(directory, {directory / name: text for name, text in texts.items()})
    return directory / PAGE_FILE


def page(appendix: Appendix) -> str:
    """The page as HTML that shows the same on any machine, offline."""
    runs = appendix.runs
    body = [
        f"<header><p class=kicker>Architecture search</p><h1>{TITLE}</h1></header>",
        _verdict(appendix),
        "" if runs is None else warning_box(comparability_warnings(runs), _ADVICE),
        f'<section id="a2"><h2>SSIM against FLOPs (Fig. A2)</h2><p>{_SETS} Letters are rows of the table; thin lines '
        "join the networks of a row; bars are one standard deviation over seeds.</p>"
        f"{plot(scatter(appendix), 'scatter')}"
        f'<p class="small">{escape(PAPER_THRESHOLD.note)}</p></section>',
        '<section id="a3"><h2>Constraints and results (Fig. A3, right)</h2>'
        f"{html_table(appendix.rows, RESULTS, 'results')}"
        f'<p class="small">{_COLUMNS} {escape(_references_line(appendix))}</p></section>',
        f'<section id="search"><h2>The searches</h2>{html_table(appendix.rows, SEARCH, "searches")}'
        f'<p class="small">{_SEARCH}</p></section>',
        _troubles(appendix),
        _networks(appendix),
        _history(appendix.rows),
    ]
    if runs is not None:
        body += [provenance_section(runs), definitions_section(definitions(runs))]
    return document(TITLE, "\n".join(body))


def markdown(appendix: Appendix) -> str:
    """The tables in Markdown, with what must be known to read them."""
    parts = [f"# {TITLE}", " ".join(verdict(appendix)), *_notes(appendix)]
    parts += [markdown_table(appendix.rows, RESULTS), _SETS, _COLUMNS, _references_line(appendix)]
    parts += [markdown_table(appendix.rows, SEARCH), _SEARCH]
    parts += ["\n".join(f"- {line}" for line in troubles(appendix))]
    parts += [] if appendix.runs is None else [provenance_lines(appendix.runs)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _notes(appendix: Appendix) -> list[str]:
    budget = None if appendix.runs is None else small_budget_note(appendix.runs)
    return [note for note in (below_floor(appendix), budget) if note]


def troubles(appendix: Appendix) -> list[str]:
    """What diverged, and what is not there yet."""
    lines = []
    for row in appendix.rows:
        supernet = row.record.supernet
        if row.trained is False:
            lines.append(f"{row.name}: the supernet diverged {_divergence(supernet)}")
        elif row.trained is None:
            lines.append(f"{row.name}: the supernet has not been trained yet.")
        elif not row.record.search.get("genes"):
            lines.append(f"{row.name}: not searched yet.")
        for network in row.networks.values():
            lines += [
                f"{row.name}: {network.name}, seed {item['seed']}, diverged from scratch: {item['reason']}."
                for item in network.diverged
            ]
            if network.model is None and not network.diverged:
                lines.append(f"{row.name}: {network.name} has not been trained from scratch yet.")
    return lines


def _divergence(supernet: dict[str, Any]) -> str:
    norm = supernet.get("gradient_norm")
    said = f"at step {plain(supernet.get('step'))}: {plain(supernet.get('reason'))}; last finite gradient norm "
    said += "not recorded" if norm is None else f"{norm:.4g}"
    paths = supernet.get("paths")
    names = [str(path) for path in paths] if isinstance(paths, list) else []
    return said + (f"; path{'s' if len(names) > 1 else ''} {', '.join(names)}." if names else ".")


def _references_line(appendix: Appendix) -> str:
    told = [
        f"{model.label} {model.text('ssim', 4)} at {model.gflops or 0:.2f} G ({len(model.runs)} "
        f"seed{'s' if len(model.runs) > 1 else ''})"
        for model in appendix.references
    ]
    return (
        f"Hand-designed, from scratch on the same budget, SSIM on the validation pairs: {', '.join(told)}."
        if told
        else ""
    )


def _verdict(appendix: Appendix) -> str:
    return verdict_section(_notes(appendix), verdict(appendix), appendix.runs)


def _troubles(appendix: Appendix) -> str:
    lines = troubles(appendix)
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<section id="troubles"><h2>What diverged, and what is missing</h2><ul class="outcome">{items}</ul></section>'
    )


def _networks(appendix: Appendix) -> str:
    strips = [
        _drawing(row, row.networks[name]) for row in appendix.rows for name in (FOUND, RANDOM) if name in row.networks
    ]
    strips += [
        of_arch(f"{model.label} (by hand)", _note(model.gflops, model.params), model.results.arch)
        for model in appendix.references
    ]
    if not strips:
        return ""
    return (
        '<section id="networks"><h2>The networks (Fig. A3, left)</h2><p>Residual blocks in the order of the signal; '
        "the encoder's branch to the texture is above, the one to the shape below, through the manipulator. All other "
        "layers are left out. Where in its part a block is skipped makes no difference to the network.</p>"
        f'<div class="drawn">{blocks_svg(strips)}</div></section>'
    )


def _drawing(row: Row, network: Network) -> Drawing:
    return of_genes(f"{row.name} {network.name}", _note(network.gflops, network.params), row.parts, network.genes)


def _note(gflops: float | None, params: int | None) -> str:
    cost = "" if gflops is None else f"{gflops:.2f} G, "
    return f"{cost}{plain(params)} parameters"


def _history(rows: Sequence[Row]) -> str:
    figure = history(rows)
    if figure is None:
        return ""
    return (
        '<section id="history"><h2>Progress of the searches</h2><p>Best SSIM with inherited weights so far, on the '
        f"search pairs, after each generation.</p>{plot(figure, 'progress')}</section>"
    )
