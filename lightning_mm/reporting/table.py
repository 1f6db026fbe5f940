"""The terminal's table: one row per model, best SSIM first."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_mm.reporting.compared import print_comparison
from lightning_mm.reporting.comparison import Comparison
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.plane import Plane
from lightning_mm.reporting.provenance import (
    FLOOR_NAMES,
    FLOPS_LABEL,
    absence_reasons,
    comparability_warnings,
    provenance,
)
from lightning_mm.reporting.run import DASH, finite, signed
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.reporting.variants import variants_table
from lightning_mm.reporting.verdict import small_budget_note
from lightning_mm.runs import ARCH_PREFIX

MIN_WIDTH = 120
"""Below this many columns the numbers would be cut, so the table keeps its width and the terminal wraps it."""

MAX_ROWS = 50
"""Of more models, the best, those on the front and those that were asked for by name are printed."""

_BELOW = "\n\N{PLUS-MINUS SIGN}"


def print_table(sweep: Sweep, console: Console | None = None, comparisons: Sequence[Comparison] = ()) -> None:
    """Print the table, and below it everything needed to read it, to standard output.

    Args:
        sweep: The models.
        console: Where to print instead.
        comparisons: Models beside the hand-designed one, for a table of their own.
    """
    console = console or Console()
    if console.width < MIN_WIDTH:
        console.width = MIN_WIDTH
    shown = _shown(sweep)
    console.print(results_table(sweep, shown))
    if len(shown) < len(sweep.models):
        console.print(Text(f"{len(sweep.models) - len(shown)} more models are in the page alone."))
    if (variants := variants_table(sweep)) is not None:
        console.print(variants)
    for line in caption(sweep):
        console.print(Text(line))
    for line in comparability_warnings(sweep):
        console.print(Text(f"WARNING: not comparable, the runs differ in {line}", style="bold red"))
    if comparisons:
        print_comparison(comparisons, console)


def results_table(sweep: Sweep, models: Sequence[Model]) -> Table:
    """The table as a rich object."""
    latency = next((plane for plane in sweep.planes if plane.cost == "latency"), None)
    seeds = any(len(model.runs) > 1 for model in sweep.models)
    many = seeds or latency is not None
    table = Table(
        title=Text(sweep.name, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        padding=0 if many else (0, 1),
    )
    table.add_column("run", overflow="fold", max_width=12 if many else None)
    table.add_column("overrides", overflow="fold", min_width=20 if many else 24)
    costs = ["params", "\n".join(FLOPS_LABEL.split(" ", 2)), *(["latency\n[ms]"] if latency else [])]
    for header in (*(["seeds"] if seeds else []), *costs, "SSIM", "SSIM minus\nhand-\ndesigned", "PSNR\n[dB]", "LPIPS"):
        table.add_column(Text(header), justify="right", no_wrap=True)
    for header in ("Pareto\nfront", f"≥ {sweep.threshold.text}"):
        table.add_column(header, justify="center", no_wrap=True)
    on_front = {model for front in sweep.fronts() for model in front}
    for i, model in enumerate(models):
        row = _cells(sweep, model, model in on_front, latency, seeds)
        table.add_row(*row, end_section=i == len(models) - 1)
    several = len({id(run) for _, run in sweep.floors()}) > 1
    for name, run in sweep.floors():
        values = run.results.floors[name]
        label = FLOOR_NAMES.get(name, name) + (f" [{run.results.validation.get('name')}]" if several else "")
        shown = [_number(values.get(metric), digits) for metric, digits in (("ssim", 4), ("psnr", 2), ("lpips", 4))]
        above = _yes(sweep.threshold.reaches(finite(values.get("ssim"))))
        blank = [""] * (len(costs) + seeds)
        row = [label, "(no training)", *blank, shown[0], "", shown[1], shown[2], "", above]
        table.add_row(*(Text(cell) for cell in row), style="dim")
    return table


def caption(sweep: Sweep) -> list[str]:
    """The lines below the table: budget, validation set, hardware, and how to read the threshold."""
    facts = dict(provenance(sweep))
    lines = [
        f"Budget: {facts['Steps']} steps, {facts['Samples seen']} samples seen, crop {facts['Crop']}, "
        f"precision {facts['Precision']}, seeds {facts['Seeds']}; {facts['Training time']}.",
        f"Hardware: {facts['Hardware']}.",
        f"Validation: {facts['Validation set']}.",
    ]
    if any(len(model.runs) > 1 for model in sweep.models):
        lines.append("± is the standard deviation over the seeds of a model.")
    lines += [f"Latency: {plane.conditions}." for plane in sweep.planes if plane.cost == "latency"]
    if sweep.counts:
        counted = ", ".join(f"{number} {state}" for state, number in sweep.counts.items() if number)
        asked = "" if sweep.target_trials is None else f", {sweep.target_trials} asked for"
        lines.append(f"Trials: {counted or 'none'}{asked}; only complete ones with finite values count.")
    lines += [*(f"{line}." for line in absence_reasons(sweep)), sweep.threshold.note]
    note = small_budget_note(sweep)
    return [*lines, note] if note else lines


def _shown(sweep: Sweep) -> list[Model]:
    if len(sweep.models) <= MAX_ROWS:
        return sweep.models
    kept = set(sweep.models[:MAX_ROWS]) | {model for front in sweep.fronts() for model in front}
    return [model for model in sweep.models if model in kept or not model.is_trial]


def _cells(sweep: Sweep, model: Model, on_front: bool, latency: Plane | None, seeds: bool) -> list[Text]:
    difference = sweep.difference(model)
    shown_difference = DASH if difference is None else signed(difference)
    settings = ", ".join(f"{key.removeprefix(ARCH_PREFIX)}={value}" for key, value in model.settings.items())
    milliseconds = latency.of(model) if latency else None
    cells = [
        model.label,
        settings or f"({model.results.role})",
        *([str(len(model.runs))] if seeds else []),
        DASH if model.params is None else f"{model.params:,}",
        DASH if model.gflops is None else f"{model.gflops:.2f}",
        *([DASH if milliseconds is None else f"{milliseconds:.2f}"] if latency else []),
        model.text("ssim", 4, _BELOW),
        "reference" if sweep.hand_designed(model) is model else shown_difference,
        model.text("psnr", 2, _BELOW),
        model.text("lpips", 4, _BELOW),
        "yes" if on_front else "",
        _yes(sweep.threshold.reaches(model.ssim)),
    ]
    style = "" if model.is_trial else "bold"
    return [Text(cell, style=style) for cell in cells]


def _number(value: float | None, digits: int) -> str:
    return "absent" if value is None else f"{value:.{digits}f}"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]
