"""The terminal's tables of ``benchmark train``."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_mm.benchmarking.train import FRAMEWORK, TrainingSpeed
from lightning_mm.timing import Summary

MIN_WIDTH = 100
NOTES = (
    "Medians of interleaved repeats with quartiles. The whole step is a real fit's, validation, checkpoints, loggers, "
    "progress bar and further callbacks left out.",
    "Each part is timed on its own, the network's forward and backward on detached inputs; framework is the whole step "
    "less their sum, and is negative where parts overlap in training.",
    "PNG files are read from memory, four to a sample; the loader reads and collates, and does nothing else.",
)


def print_speed(speed: TrainingSpeed, console: Console | None = None) -> None:
    """Print what was measured, the parts of a step and the rates to standard output, or to another console."""
    console = console or Console()
    if console.width < MIN_WIDTH:
        console.width = MIN_WIDTH
    for line in header(speed):
        console.print(Text(line))
    console.print(parts_table(speed))
    console.print(rates_table(speed))
    for line in NOTES:
        console.print(Text(line))


def header(speed: TrainingSpeed) -> list[str]:
    """What was measured, and on what."""
    setup = speed.setup
    device = "" if setup["device"] == "cpu" else f"{setup['device']}, "
    threads = f"{setup['threads']} threads on {setup['cores']} cores"
    batch = f"batches of {setup['batch_size']}"
    if setup["accumulate_grad_batches"] > 1:
        batch += f", {setup['accumulate_grad_batches']} to a step of the optimiser"
    if setup["echo"] > 1:
        batch += f", each scene shown {setup['echo']} times"
    how = f"{setup['precision']}{', compiled' if setup['compile'] else ''}, {setup['num_workers']} loader workers"
    architecture = ", ".join(f"{name} {value}" for name, value in setup["arch"].items())
    return [
        f"{device}{setup['processor']}, {threads}, torch {setup['torch']}, {how}",
        f"{setup['data']}, {setup['width']} x {setup['height']} px, {batch}",
        f"{setup['params']:,} parameters: {architecture}",
    ]


def parts_table(speed: TrainingSpeed) -> Table:
    """Milliseconds per sample and shares of the parts of a step."""
    batch, shares = speed.setup["batch_size"], speed.shares()
    table = _table("training step", "part", "ms/sample", "quartiles", "share")
    for name, part in speed.parts.items():
        table.add_row(Text(name), *_cells(part, 1e3 / batch, 3), f"{100.0 * shares[name]:.1f} %")
    table.add_row(FRAMEWORK, f"{1e3 / batch * speed.framework:.3f}", "", f"{100.0 * shares[FRAMEWORK]:.1f} %")
    table.add_section()
    table.add_row(Text("whole step", style="bold"), *_cells(speed.step, 1e3 / batch, 3), "100.0 %")
    return table


def rates_table(speed: TrainingSpeed) -> Table:
    """Samples per second of training, rendering and reading."""
    table = _table("rates", "what", "samples/s", "quartiles")
    batch, step = speed.setup["batch_size"], speed.step
    training = Summary(batch / step.median, batch / step.upper, batch / step.lower, ())
    for name, rate in {"train, whole step": training, **speed.rates}.items():
        table.add_row(Text(name), *_cells(rate, 1.0, 1))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _cells(values: Summary, scale: float, digits: int) -> tuple[str, str]:
    lower, median, upper = (f"{value * scale:.{digits}f}" for value in (values.lower, values.median, values.upper))
    return median, f"{lower} to {upper}"
