"""The terminal's table: one row per run, best SSIM first."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_mm.reporting.collect import ARCH_PREFIX, DASH, Run, Sweep
from lightning_mm.reporting.threshold import VISUAL_THRESHOLD_SSIM, reaches_threshold
from lightning_mm.reporting.variants import variants_table
from lightning_mm.reporting.verdict import (
    FLOOR_NAMES,
    FLOPS_LABEL,
    THRESHOLD_NOTE,
    absence_reasons,
    comparability_warnings,
    metric_text,
    provenance,
    small_budget_note,
)

MIN_WIDTH = 120
"""Below this many columns the numbers would be cut, so the table keeps its width and the terminal wraps it."""


def print_table(sweep: Sweep, console: Console | None = None) -> None:
    """Print the table, and below it everything needed to read it, to standard output.

    Args:
        sweep: The runs.
        console: Where to print instead.
    """
    console = console or Console()
    if console.width < MIN_WIDTH:
        console.width = MIN_WIDTH
    console.print(results_table(sweep))
    if (variants := variants_table(sweep)) is not None:
        console.print(variants)
    for line in caption(sweep):
        console.print(Text(line))
    for line in comparability_warnings(sweep):
        console.print(Text(f"WARNING: not comparable, the runs differ in {line}", style="bold red"))


def results_table(sweep: Sweep) -> Table:
    """The table as a rich object."""
    table = Table(
        title=Text(sweep.name, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("run", overflow="fold")
    table.add_column("overrides", overflow="fold", min_width=24)
    flops = "\n".join(FLOPS_LABEL.split(" ", 2))
    for header in ("params", flops, "SSIM", "SSIM minus\nhand-\ndesigned", "PSNR\n[dB]", "LPIPS"):
        table.add_column(Text(header), justify="right", no_wrap=True)
    for header in ("Pareto\nfront", f"≥ {VISUAL_THRESHOLD_SSIM}"):
        table.add_column(header, justify="center", no_wrap=True)
    on_front = {run for front in sweep.fronts() for run in front}
    for i, run in enumerate(sweep.runs):
        table.add_row(*_cells(sweep, run, run in on_front), end_section=i == len(sweep.runs) - 1)
    several = len({id(run) for _, run in sweep.floors()}) > 1
    for name, run in sweep.floors():
        values = run.results.floors[name]
        label = FLOOR_NAMES.get(name, name) + (f" [{run.results.validation.get('name')}]" if several else "")
        shown = [_number(values.get(metric), digits) for metric, digits in (("ssim", 4), ("psnr", 2), ("lpips", 4))]
        above = _yes(reaches_threshold(values.get("ssim")))
        row = [label, "(no training)", "", "", shown[0], "", shown[1], shown[2], "", above]
        table.add_row(*(Text(cell) for cell in row), style="dim")
    return table


def caption(sweep: Sweep) -> list[str]:
    """The lines below the table: budget, validation set, hardware, and how to read the threshold."""
    facts = dict(provenance(sweep))
    lines = [
        f"Budget: {facts['Steps']} steps, {facts['Samples seen']} samples seen, crop {facts['Crop']}, "
        f"precision {facts['Precision']}, seed {facts['Seed']}; {facts['Training time']}.",
        f"Hardware: {facts['Hardware']}.",
        f"Validation: {facts['Validation set']}.",
        *(f"{line}." for line in absence_reasons(sweep)),
        THRESHOLD_NOTE,
    ]
    note = small_budget_note(sweep)
    return [*lines, note] if note else lines


def _cells(sweep: Sweep, run: Run, on_front: bool) -> list[Text]:
    difference = sweep.difference(run)
    shown_difference = DASH if difference is None else f"{difference:+.4f}"
    overrides = ", ".join(f"{key.removeprefix(ARCH_PREFIX)}={value}" for key, value in run.results.overrides.items())
    params = run.results.cost.get("params")
    cells = [
        run.label,
        overrides or f"({run.results.role})",
        DASH if params is None else f"{params:,}",
        DASH if run.gflops is None else f"{run.gflops:.2f}",
        metric_text(run, "ssim", 4),
        "reference" if run.is_hand_designed else shown_difference,
        metric_text(run, "psnr", 2),
        metric_text(run, "lpips", 4),
        "yes" if on_front else "",
        _yes(reaches_threshold(run.ssim)),
    ]
    style = "" if run.is_trial else "bold"
    return [Text(cell, style=style) for cell in cells]


def _number(value: float | None, digits: int) -> str:
    return "absent" if value is None else f"{value:.{digits}f}"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]
