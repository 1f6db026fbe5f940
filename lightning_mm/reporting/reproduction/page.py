"""The page, the Markdown and the CSV of ``lightning-mm reproduce``."""

from html import escape
from pathlib import Path

from lightning_mm.evaluation.figures import SSIM, Axis, series
from lightning_mm.reporting.html import definitions, definitions_section, document, facts, note_box, provenance_section
from lightning_mm.reporting.html import warning as warning_box
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.provenance import FLOOR_NAMES, absence_reasons, differences, provenance_lines
from lightning_mm.reporting.reproduction import figures
from lightning_mm.reporting.reproduction.cells import as_csv, html, markdown
from lightning_mm.reporting.reproduction.rows import Table, table_of
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.reporting.writing import write_report
from lightning_mm.reproduction.command import Reproduction

_PAPER = (
    "Columns marked (paper) are the paper's numbers, measured on its own validation set after training on 95,000 pairs "
    "of 384 x 384 px, FPS at 1920 x 1080 px on an NVIDIA RTX 3090. SSIM values of the two do not compare; their "
    "differences from the reference row may."
)
_OURS = (
    "Ours: mean ± standard deviation over seeds. SSIM minus reference: over the seeds of both, in brackets the 95 % "
    "interval of the paired difference (t). Each interval stands alone: of many rows that are equal to the reference, "
    "1 in 20 will look different by chance."
)
_MOTION = Axis("motion", "motion in the input [px], log scale", "log")
_NOISE = Axis("noise", "noise factor, log scale", "log")
_CURVES = {
    "subpixel": (_MOTION, "Subpixel test: motion magnified to 10 px"),
    "noise_0.05px": (_NOISE, "Noise test: 0.05 px magnified to 10 px"),
    "noise_5px": (_NOISE, "Noise test: 5 px magnified to 10 px"),
}


def write_reproduction(made: Reproduction) -> Path:
    """Write NAME.html, NAME.md and NAME.csv into the directory of the runs.

    Returns:
        The page.

    Raises:
        InputError: They cannot be written.
    """
    table = table_of(made)
    stem = made.directory / made.table.name
    files = {".md": text(table), ".csv": as_csv(table), ".html": page(table)}
    write_report(made.directory, {stem.with_suffix(suffix): content for suffix, content in files.items()})
    return stem.with_suffix(".html")


def text(table: Table) -> str:
    """The Markdown."""
    made, sweep = table.made, _sweep(table)
    lines = [f"# {made.table.title}", "", made.table.description, "", markdown(table)]
    differ = [f"Not all runs are comparable; they differ in {line}." for line in _incomparable(table)]
    lines += [f"- {line}" for line in (*_verdict(table), *differ, *_floors(table), *_absences(table))]
    lines += ["", _OURS, "", _PAPER, "", f"`{made.command}`: {made.budget.description}", ""]
    return "\n".join([*lines, provenance_lines(sweep), f"- FPS: {made.speeds.conditions}", ""])


def page(table: Table) -> str:
    """The HTML page; it needs no network."""
    made, sweep = table.made, _sweep(table)
    budget = note_box(f"Budget: {made.budget.description}") if made.budget.description else ""
    said = "".join(f"<li>{escape(answer)}</li>" for answer in _verdict(table))
    notes = (*_floors(table), *_absences(table), _OURS, _PAPER)
    small = "".join(f'<p class="small">{escape(line)}</p>' for line in notes)
    fps = ("FPS", f"frames per second, median over repeats in turns: {made.speeds.conditions}.")
    body = [
        f"<header><p class=kicker>The paper's table beside ours</p><h1>{escape(made.table.title)}</h1>"
        f'<p class="lead">{escape(made.table.description)}</p></header>',
        f'<section class=verdict>{budget}<ul class="answers">{said}</ul>{facts(sweep)}</section>',
        warning_box(_incomparable(table), "Compare only rows that agree."),
        f"<section id=paper><h2>The table</h2>{html(table)}{small}</section>",
        *(_differences(table, metric) for metric in ("ssim", "lpips")),
        _speed(table),
        *(_curve(table, name) for name in made.curves),
        f"<section><h2>Command</h2><p><code>{escape(made.command)}</code></p></section>",
        provenance_section(sweep),
        definitions_section([*definitions(sweep), fps]),
    ]
    return document(made.table.title, "\n".join(part for part in body if part))


def _sweep(table: Table) -> Sweep:
    return Sweep(table.made.directory, table.made.table.title, table.runs)


def _verdict(table: Table) -> list[str]:
    answers = [table.answer(question) for question in table.made.table.questions]
    agreement = table.agreement()
    return [*answers, *([agreement] if agreement else [])]


def _floors(table: Table) -> list[str]:
    """What needs no training, and the line of visual acceptability."""
    results = table.runs[0].results
    found = [
        f"{FLOOR_NAMES.get(name, name)} {values['ssim']:.4f}"
        for name, values in results.floors.items()
        if values.get("ssim") is not None
    ]
    best = max((row.model.ssim or 0.0 for row in table.rows if row.model is not None), default=0.0)
    floor = (results.floors.get("frame_b") or {}).get("ssim")
    below = ""
    if floor is not None and best < floor:
        below = (
            " No row reaches the SSIM of an unmagnified frame on this budget: what is compared is how fast networks "
            "learn, not how good they become."
        )
    lpips = results.definitions.get("lpips")
    network = [f"LPIPS, ours: {lpips}; the paper's: network vgg."] if lpips else []
    return [f"SSIM without any training: {', '.join(found)}.{below}", _sweep(table).threshold.note, *network]


def _absences(table: Table) -> list[str]:
    told = [f"{row.row.label}: {reason}." for row in table.rows for reason in row.absent]
    slow = table.made.speeds.left_out
    told += [f"{row.row.label}: no FPS: {slow[row.name]}." for row in table.rows if row.name in slow]
    if (busy := table.made.speeds.warning) is not None:
        told.append(f"{busy} Delete {table.made.table.name}_fps.json for the same command to measure anew.")
    return [*told, *_removals(table), *(f"{line}." for line in absence_reasons(_sweep(table)))]


def _incomparable(table: Table) -> list[str]:
    """In what runs differ although they must not; a removal is trained in two parts, of which it records the second."""
    return differences(table.runs, without=("steps", "samples seen") if _removals(table) else ())


def _removals(table: Table) -> list[str]:
    """How rows of removals and those beside them are trained."""
    if not any(row.row.kind == "removal" for row in table.rows):
        return []
    return [
        f"Rows of removals are trained for {table.made.budget.switch_epochs} epochs with switches, then behind the "
        "cut, each with a learning rate schedule of its own and on the same samples from the first on; their steps "
        "below are those behind the cut. The reference row has as many epochs as both together, under one schedule. "
        "FPS is that of the lowest seed's network."
    ]


def _differences(table: Table, metric: str) -> str:
    figure = figures.differences(table, metric)
    if figure is None or not any(table.difference(row, metric) for row in table.rows):
        return ""
    reference = escape(table.reference.row.label)
    heading = f"<h2>{metric.upper()}: difference from the row “{reference}”</h2>"
    return f"<section>{heading}{plot(figure, f'differences-{metric}')}</section>"


def _speed(table: Table) -> str:
    figure = figures.speed(table)
    if figure is None:
        return ""
    key = f'<p class="small">{escape(figures.speed_key(table))}. FPS, ours: {escape(table.made.speeds.conditions)}.</p>'
    return f"<section><h2>SSIM against speed</h2>{plot(figure, 'speed')}{key}</section>"


def _curve(table: Table, name: str) -> str:
    x, heading = _CURVES[name]
    called = {row.name: row.row.label for row in table.rows}
    figure = series(table.made.curves[name], x, Axis("ssim", SSIM), called=called)
    about = (
        f"The lowest trained seed of each row; scenes per level: {table.made.budget.curve_samples}, of "
        f"{table.made.budget.curve_size} px."
    )
    return f'<section><h2>{escape(heading)}</h2>{plot(figure, name)}<p class="small">{escape(about)}</p></section>'
