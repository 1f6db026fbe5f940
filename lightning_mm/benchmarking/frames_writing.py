"""Tables of ``benchmark frames``: for the terminal, as Markdown, CSV and JSON."""

import csv
import io
import json
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_mm.benchmarking.frame_speed import ENCODES, FrameSpeed, Measured
from lightning_mm.benchmarking.paper_speed import NETWORKS, PAPER_SPEEDS
from lightning_mm.benchmarking.resolutions import REAL_TIME_FPS
from lightning_mm.machine import is_busy
from lightning_mm.markdown import markdown_table

MIN_WIDTH = 140
LEFT_OUT = "left out"
CSV_COLUMNS = (
    *("network", "encodes", "resolution", "width", "height", "fps", "fps_lower", "fps_upper", "ms_per_frame"),
    *("rounds", "frames_per_round", "ratio", "ratio_lower", "ratio_upper", "ratio_confidence"),
    *(f"processor_ratio{end}" for end in ("", "_lower", "_upper", "_confidence")),
    "left_out",
)

Rows = list[list[str]]


def print_frames(speed: FrameSpeed, console: Console | None = None) -> None:
    """Print what was measured, the tables and how to read them to standard output, or to another console."""
    console = console or Console()
    if console.width < MIN_WIDTH:
        console.width = MIN_WIDTH
    for line in header(speed):
        console.print(Text(line))
    for title, rows in tables(speed).items():
        head, *body = rows
        table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for number, name in enumerate(head):
            table.add_column(Text(name), justify="right" if number else "left")
        for row in body:
            table.add_row(*map(Text, row))
        console.print(table)
    for line in notes(speed):
        console.print(Text(line))


def markdown_text(speed: FrameSpeed) -> str:
    """The tables with what was measured above them and how to read them below."""
    parts = ["; ".join(header(speed))]
    for title, (head, *body) in tables(speed).items():
        parts += [f"**{title}**", markdown_table(head, body, numbers=True).rstrip()]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in notes(speed))]) + "\n"


def csv_text(speed: FrameSpeed) -> str:
    """One line per network, number of encodes and resolution; what does not exist is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in speed.results:
        seconds, quartiles = result.seconds, result.fps_quartiles or ("", "")
        compared = []
        for ratio in (speed.ratio(result), speed.ratio(result, "processor")):
            compared += [""] * 4 if ratio is None else [ratio.median, ratio.lower, ratio.upper, ratio.confidence]
        size = [result.resolution.name, result.resolution.width, result.resolution.height]
        timed = ["", *[""] * 2, "", 0, 0]
        if seconds is not None:
            timed = [result.fps, *quartiles, 1e3 * seconds.median, len(seconds.raw), result.frames]
        writer.writerow([result.network, result.encodes, *size, *timed, *compared, result.reason or ""])
    return text.getvalue()


def json_text(speed: FrameSpeed) -> str:
    """Everything, each round included."""
    return json.dumps(speed.to_dict(), indent=2, allow_nan=False) + "\n"


def header(speed: FrameSpeed) -> list[str]:
    """What was measured, and on what."""
    setup = speed.setup
    device = "" if setup["device"] == "cpu" else f"{setup['device']}, "
    layout = "channels_last" if setup["channels_last"] else "channels first"
    lines = [
        f"{device}{setup['processor']}, {setup['threads']} threads on {setup['cores']} cores, torch {setup['torch']}, "
        f"decoder {setup['precision']}, {layout}, {'compiled' if setup['compile'] else 'eager'}, batch 1"
    ]
    lines += [
        f"{name}: {told['params']:,} parameters, {told['paper_gflops']:.2f} G FLOPs (paper's count) at 384 x 384"
        for name, told in speed.networks.items()
    ]
    if setup["load_before"] is not None:
        lines.append(
            f"load of the machine: {setup['load_before']:.1f} before, {setup['load_after']:.1f} after, this benchmark "
            "included"
        )
    return lines


def tables(speed: FrameSpeed) -> dict[str, Rows]:
    """Titles and rows, the header first."""
    others = [name for name in speed.networks if name != speed.reference] if speed.reference else []
    head = ["frames", "encodes", *(f"{name} FPS" for name in speed.networks)]
    clocks: list[Literal["seconds", "processor"]] = ["seconds"]
    if any(result.processor is not None for result in speed.results):
        clocks.append("processor")
    named = {"seconds": "", "processor": ", processor time"}
    rows: Rows = [[*head, *(f"{name} / {speed.reference}{named[clock]}" for name in others for clock in clocks)]]
    for resolution in speed.resolutions:
        for encodes in ENCODES:
            size = f"{resolution.name} ({resolution.width} x {resolution.height})"
            cells = [_fps(speed.of(name, encodes, resolution)) for name in speed.networks]
            ratios = [speed.ratio(speed.of(n, encodes, resolution), clock) for n in others for clock in clocks]
            told = ["" if r is None else f"{r.median:.2f} ({r.lower:.2f} to {r.upper:.2f})" for r in ratios]
            rows.append([size, str(encodes), *cells, *told])
    largest: Rows = [["encodes", *speed.networks]]
    largest += [[str(n), *(speed.largest(name, n).text for name in speed.networks)] for n in ENCODES]
    paper: Rows = [
        ["GPU", "where", *(f"{name} FPS" for name in NETWORKS), "ratio", *(f"{n}, largest" for n in NETWORKS)]
    ]
    for row in PAPER_SPEEDS:
        fps = [f"{row.fps[name]:.1f}" for name in NETWORKS]
        paper.append([row.gpu, row.table, *fps, f"{row.ratio:.2f}", *(row.largest.get(name, "") for name in NETWORKS)])
    return {
        "frames per second": rows,
        f"largest resolution with at least {REAL_TIME_FPS:g} FPS": largest,
        "the paper's, at 1920 x 1080 on its own GPUs": paper,
    }


def notes(speed: FrameSpeed) -> list[str]:
    """How to read the tables, and what was left out."""
    found = [
        "FPS: median over rounds in which the networks take turns, with quartiles in brackets; frames lie on the "
        "device, and reading, converting, copying and writing them are not part of it.",
        "One encode is the steady state of a video (the reference's is kept); two are what a pair costs on its own. "
        "The paper does not say which it measures.",
    ]
    ratios = [ratio for result in speed.results if (ratio := speed.ratio(result)) is not None]
    if ratios:
        least = min(ratio.confidence for ratio in ratios)
        found.append(
            f"Ratios: median over the rounds' pairs and, in brackets, an interval for it of at least {least:.0%} "
            "confidence."
        )
    if any(speed.ratio(result, "processor") is not None for result in speed.results):
        found.append(
            "Ratios of processor time compare the seconds that this process computed for, which other programs "
            "lengthen less than those that pass."
        )
    load, cores = speed.setup["load_before"], speed.setup["cores"]
    if is_busy(load, cores):
        found.append(
            f"The machine was busy (load {load:.1f} on {cores} cores): a quiet one does more frames per second, and "
            "with several threads waiting for one another even the ratios say little; --threads 1 helps them."
        )
    left: dict[str, list[str]] = {}
    for result in speed.results:
        if result.reason is not None:
            where = f"{result.resolution.name} with {result.encodes} encode{'s' if result.encodes > 1 else ''}"
            left.setdefault(f"{result.network}, {result.reason}", []).append(where)
    return found + [
        f"{LEFT_OUT.capitalize()}: {why}; not measured: {', '.join(places)}." for why, places in left.items()
    ]


def _fps(result: Measured) -> str:
    if result.fps is None or result.fps_quartiles is None:
        return LEFT_OUT
    low, high = result.fps_quartiles
    digits = 1 if result.fps >= 10.0 else 2 if result.fps >= 1.0 else 3
    return f"{result.fps:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
