"""What protocols share: what they are given, and what each leaves behind."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.methods import Method
from lightning_mm.metrics import LpipsNet

Grid = Literal["published", "wide"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """Settings of the protocols; those of the ``evaluate`` command, where each is explained."""

    photos: Path | None = None
    samples: int = 16
    pairs: int = sets.PAIRS
    size: int = sets.SIZE
    lpips: LpipsNet = "squeeze"
    grid: Grid = "published"
    border: int = 0
    clips: int = 2
    focal_length: float = 10.0
    footage: Path | None = None
    footage_fps: float | None = None
    footage_frequency: float | None = None
    footage_roi: str | None = None
    footage_alpha: float = 10.0
    footage_frames: int = 128
    stored: Path | None = None
    stored_alpha: float | None = None


@dataclass(frozen=True)
class Bench:
    """What protocols judge, and with what.

    Attributes:
        methods: By name.
        device: Where frames are rendered and magnified.
        options: Settings.
        sets: Validation sets by name; the last one textures all other tests.
        say: Told what is being done.
    """

    methods: dict[str, Method]
    device: torch.device
    options: Options
    sets: dict[str, PairDataModule]
    say: Callable[[str], object]

    def scenes(self) -> tuple[SceneSampler, TextureBank]:
        """The sampler and the textures, on the device, of tests that replace the motion of scenes."""
        sampler, bank = list(self.sets.values())[-1].validation_scenes()
        return sampler, bank.to(self.device)


@dataclass(frozen=True)
class Shown:
    """A table of text for people, first column words.

    Attributes:
        title: What it shows.
        columns: Headers.
        rows: Cells.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Record:
    """What a protocol leaves behind.

    Attributes:
        heading: Heading of its section.
        about: What is measured, in sentences.
        settings: What its numbers depend on; plain JSON.
        tables: Rows by the stem of the CSV file that they go to; plain JSON, at least one row each.
        summary: By method a few numbers.
        shown: Tables to print.
        left_out: Why methods or metrics are missing.
        pictures: uint8 RGB (H, W, 3) by the stem of the PNG file that they go to.
    """

    heading: str
    about: str
    settings: dict[str, Any]
    tables: dict[str, list[Row]]
    summary: dict[str, dict[str, float | None]]
    shown: list[Shown]
    left_out: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


def mean_and_error(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and its standard error; ``None`` where there are too few values for one."""
    count = len(values)
    mean = float(np.mean(values)) if count else None
    return mean, float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None


def known(value: float) -> float | None:
    """A number as JSON has it: ``None`` where it is not finite."""
    return float(value) if math.isfinite(value) else None


def number(value: float | None, digits: int, error: float | None = None, sign: bool = False) -> str:
    """A number for a table, with its standard error where there is one; "-" where there is none."""
    if value is None:
        return "-"
    value = round(value, digits) + 0.0  # which makes 0 of -0
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text if error is None else f"{text} ± {error:.{digits}f}"
