"""Tables of ``benchmark video``: for the terminal, as Markdown and as JSON."""

import json

from lightning_mm.benchmarking.video import Measured, VideoSpeed
from lightning_mm.machine import is_busy
from lightning_mm.markdown import markdown_table

HEAD = (
    "frames", "network", "network alone [FPS]", "times as fast", "file to file [FPS]", "memory [MB]", "longer clip",
)  # fmt: skip


def rows(speed: VideoSpeed) -> list[list[str]]:
    """Cells in the order of ``HEAD``."""
    return [_row(result) for result in speed.results]


def _row(result: Measured) -> list[str]:
    size = f"{result.resolution.name} ({result.resolution.width} x {result.resolution.height})"
    alone = "left out"
    if result.seconds is not None:
        taken = (result.seconds.upper, result.seconds.median, result.seconds.lower)
        low, middle, high = (1.0 / value for value in taken)
        alone = f"{_fps(middle)} ({_fps(low)} to {_fps(high)})"
    ratio = result.ratio
    faster = "" if ratio is None else f"{ratio.median:.2f} ({ratio.lower:.2f} to {ratio.upper:.2f})"
    file = result.file
    told = ["", "", ""] if file is None else [_fps(file.fps), f"{file.peak_bytes[0] / 1e6:.0f}", _growth(file.growth)]
    return [size, result.setup.name, alone, faster, *told]


def _fps(value: float | None) -> str:
    if value is None:
        return "not told apart"
    return f"{value:.{1 if value >= 10.0 else 2 if value >= 1.0 else 3}f}"


def _growth(value: float) -> str:
    return f"{100.0 * (value - 1.0):+.1f} %"


def notes(speed: VideoSpeed) -> list[str]:
    """What was measured, on what, and how to read it."""
    setup = speed.setup
    device = "" if setup["device"] == "cpu" else f"{setup['device']}, "
    found = [
        f"{device}{setup['processor']}, {setup['threads']} threads on {setup['cores']} cores, torch {setup['torch']}, "
        "static mode, batch 1",
        f"network alone: medians over rounds in turns, quartiles in brackets; times as fast as {speed.reference.name}, "
        "in eager mode as it was trained, with an interval for the median",
    ]
    files = [result.file for result in speed.results if result.file]
    if files:
        short, long = files[0].frames
        found.append(
            f"file to file: H.264 in and out, difference of clips of {long} and {short} frames; memory: peak of the "
            f"process with {short} frames, and how much more it takes with {long}"
        )
    if is_busy(setup["load_before"], setup["cores"]):
        found.append(f"the machine was busy (load {setup['load_before']:.1f} on {setup['cores']} cores)")
    found += [f"{r.setup.name} left out at {r.resolution.name}: {r.reason}" for r in speed.results if r.reason]
    return found


def markdown_text(speed: VideoSpeed) -> str:
    """The table and its notes."""
    table = markdown_table(HEAD, rows(speed), numbers=False).rstrip()
    return "\n\n".join([table, "\n".join(f"- {line}" for line in notes(speed))]) + "\n"


def json_text(speed: VideoSpeed) -> str:
    """Everything, each round included."""
    return json.dumps(speed.to_dict(), indent=2, allow_nan=False) + "\n"
