"""Frames per second of a table's networks, measured in turns so that they compare."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lightning_mm.benchmarking.turns import Block, block_of, interleaved, warm_up
from lightning_mm.latency import per_frame
from lightning_mm.machine import cores, hardware, is_busy, load
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.precision import exact_float32
from lightning_mm.runs import fingerprint, write_text_atomically
from lightning_mm.timing import Summary


@dataclass(frozen=True)
class Speeds:
    """Frames per second of several networks.

    Attributes:
        rows: By name of the row: "fps" (median over repeats), "lower" and "upper" (quartiles).
        left_out: By name of the row, why it has none.
        height: Height of the frames in pixels.
        width: Their width.
        device: The GPU's name, or "cpu".
        processor: The processor's name.
        threads: Threads of the processor.
        precision: "float32".
        networks: Fingerprint of what was measured, and where.
        load: Processes that wanted a processor in the minute before: other programs', and trainings that had just
            ended; ``None`` where that is not known.
        cores: Processor cores that this process may use.
    """

    rows: dict[str, dict[str, float]]
    left_out: dict[str, str]
    height: int
    width: int
    device: str
    processor: str
    threads: int
    precision: str
    networks: str
    load: float | None
    cores: int

    @property
    def warning(self) -> str | None:
        """Why the numbers may be low; ``None`` where the machine was quiet or frames were not its processor's work."""
        if self.device != "cpu" or not is_busy(self.load, self.cores):
            return None
        return (
            f"FPS may be low: in the minute before, the machine's load was {self.load:.1f} on {self.cores} processors."
        )

    @property
    def conditions(self) -> str:
        """In words, what all of them share."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = self.device if self.device != "cpu" else f"{self.processor}, {threads}"
        return f"{self.width} x {self.height} px, batch 1, {self.precision}, eager, one encode per frame, {where}"


def frames_per_second(
    networks: Mapping[str, MagnifierConfig], size: tuple[int, int], path: Path, seconds: float
) -> Speeds:
    """Measure all networks in turns, or read what was measured before of the same ones on the same device.

    A frame takes one encoder pass, one manipulator and one decoder, as in a video whose reference is encoded once.
    Weights do not matter and are random.

    Args:
        networks: Architectures by name of the row.
        size: (height, width) of the frames.
        path: File that keeps the result; what is no such file is measured anew.
        seconds: Time for each network; what does not do three frames in it is left out.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = hardware(device)
    told: list[Any] = [{row: config.to_dict() for row, config in networks.items()}, size, where, seconds]
    key = fingerprint({"told": told})
    if (known := _measured_before(path)) is not None and known.networks == key:
        return known
    blocks: dict[tuple[str, int], Block] = {}
    left: dict[str, str] = {}
    before = load()
    with torch.inference_mode(), exact_float32(device.type):
        for row, config in networks.items():
            frame = torch.zeros(1, 3, *size, device=device)
            work = per_frame(Magnifier(config, initialise=False).eval().to(device), frame, frame)
            count, reason = warm_up(work, device, seconds)
            if reason is None:
                blocks[row, count] = block_of(work, device, count)
            else:
                left[row] = reason
        rounds = interleaved(blocks, seconds)
    rows = {}
    for (row, count), found in rounds.items():
        summary = Summary.of([count / one["passed"] for one in found])
        rows[row] = {"fps": summary.median, "lower": summary.lower, "upper": summary.upper}
    speeds = Speeds(rows, left, *size, **where, precision="float32", networks=key, load=before, cores=cores())
    write_text_atomically(path, json.dumps(asdict(speeds), indent=2) + "\n")
    return speeds


def _measured_before(path: Path) -> Speeds | None:
    try:
        return Speeds(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
