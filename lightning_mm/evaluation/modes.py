"""Every mode of video (Section 6.2, Tables A4 and A5): how far a known vibration has really moved in the output.

A scene vibrates at one frequency. What the output should show is that sine with another amplitude and phase: x + (alpha
- 1) H x, where H is 1 in static mode, 1 - exp(-2 pi i f / fps) in dynamic mode, and in temporal mode the response of
the filter at the vibration's frequency. One of the filters' bands lies beside the frequency: nothing may be magnified
there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lightning_mm.evaluation.clips import (
    Sine,
    enough,
    quantised,
    rendered_clip,
    textured_scene,
    track_frames,
    tracker_of,
)
from lightning_mm.evaluation.methods import streaming_method, titles
from lightning_mm.evaluation.protocol import Bench, Record, Row, Shown, mean_and_error, number
from lightning_mm.magnification.engine import Dynamic, Motion, Static, Temporal
from lightning_mm.magnification.frames import levels, to_frame
from lightning_mm.method import Method
from lightning_mm.models.precision import exact_float32
from lightning_mm.temporal import FilterSpec, design, streaming
from lightning_mm.video.colour import Frame

FPS, FREQUENCY, CYCLES, SETTLING = 60.0, 6.0, 3, 40
MOTIONS = (0.05, 0.2, 1.0)
FACTORS = (5.0, 20.0, 50.0)
LARGEST = 10.0
TARGET = "target"


@dataclass(frozen=True)
class Mode:
    """What motion is measured from.

    Attributes:
        name: For tables.
        spec: The temporal filter, if it is one.
        dynamic: Whether it is the frame before; else the first frame.
    """

    name: str
    spec: FilterSpec | None = None
    dynamic: bool = False

    def motion(self) -> Motion:
        """A new motion source."""
        if self.spec is not None:
            return Temporal(streaming(design(self.spec, FPS)))
        return Dynamic() if self.dynamic else Static()

    def response(self) -> complex:
        """H at the vibration's frequency."""
        if self.spec is not None:
            return complex(design(self.spec, FPS).response([FREQUENCY])[0])
        return 1.0 - np.exp(-2j * np.pi * FREQUENCY / FPS) if self.dynamic else 1.0


MODES = (
    Mode("static"),
    Mode("dynamic", dynamic=True),
    Mode("butterworth 4 to 8 Hz", FilterSpec("butterworth", 4.0, 8.0)),
    Mode("iir 4 to 8 Hz", FilterSpec("iir", 4.0, 8.0)),
    Mode("fir 4 to 8 Hz", FilterSpec("fir", 4.0, 8.0)),
    Mode("fir 4 to 8 Hz, zero phase", FilterSpec("fir", 4.0, 8.0, zero_phase=True)),
    Mode("fir 12 to 20 Hz, zero phase", FilterSpec("fir", 12.0, 20.0, zero_phase=True)),
)


def run(bench: Bench) -> Record:
    """The "modes" protocol."""
    options = bench.options
    bench.say(f"modes: {len(bench.methods)} methods in {len(MODES)} modes, {options.clips} clips")
    photos = bench.scenes()[1] if options.photos else None
    known = {name: method for name, m in bench.methods.items() if (method := streaming_method(m)) is not None}
    rows: list[Row] = []
    for index in range(options.clips):
        scene = textured_scene(index, options.size, photos, bench.device)
        for motion in MOTIONS:
            rows += _swinging(known, *scene, options.size, motion)
    means = _means(rows)
    return Record(
        heading="Modes of video",
        about=f"A scene that vibrates at {FREQUENCY:g} Hz, {FPS:g} frames per second, magnified in every mode. The "
        "fitted amplitude of the output, tracked, against what it should be: the vibration with alpha - 1 times what "
        "the mode passes of it added. Ratio: measured over expected; angle: of the two sines. A band beside the "
        "frequency must leave the vibration as it is.",
        settings={
            "motions_px": MOTIONS,
            "alphas": FACTORS,
            "largest_px": LARGEST,
            "frequency_hz": FREQUENCY,
            "fps": FPS,
            "clips": options.clips,
            "size": options.size,
            "textures": "photos" if options.photos else "dead leaves",
            "input": "8 bits, dithered",
        },
        tables={"modes": means},
        summary=_summary(means),
        shown=[_table(means)],
    )


def _swinging(
    methods: dict[str, Method], scenes: dict[str, torch.Tensor], bank: object, size: int, motion: float
) -> Iterator[Row]:
    """One scene that swings by so many pixels: rows of every mode, factor and method."""
    count = SETTLING + round(CYCLES * FPS / FREQUENCY)
    ahead = max(mode.motion().delay for mode in MODES)
    phase = 2.0 * math.pi * FREQUENCY * np.arange(count + ahead) / FPS
    frames = [to_frame(f) for f in quantised(rendered_clip(scenes, bank, size, motion * np.sin(phase)), scenes)]  # type: ignore[arg-type]
    tracker = tracker_of(frames[0])
    device = scenes["shift"].device
    for mode in MODES:
        response = mode.response()
        alphas = [a for a in FACTORS if motion * abs(1.0 + (a - 1.0) * response) <= LARGEST]
        for name, method in methods.items():
            motion_of = mode.motion()
            outputs = _magnified(method, motion_of, frames[: count + motion_of.delay], alphas, device)
            for alpha, found in zip(alphas, outputs, strict=True):
                moved, corners = track_frames(tracker, found)
                sine = Sine(moved, phase[SETTLING:count]) if enough(moved, 3) else None
                right = motion * (1.0 + (alpha - 1.0) * response)
                yield {
                    "mode": mode.name,
                    "motion": motion,
                    "alpha": alpha,
                    "method": name,
                    "expected": abs(right),
                    "measured": None if sine is None else abs(complex(sine.components[0, 0])),
                    "ratio": None if sine is None else abs(complex(sine.components[0, 0])) / abs(right),
                    "angle": None if sine is None else math.degrees(np.angle(sine.components[0, 0] / right)),
                    "corners": corners,
                }


@torch.inference_mode()
def _magnified(
    method: Method, motion: Motion, frames: list[Frame], alphas: list[float], device: torch.device
) -> list[list[Frame]]:
    """Outputs behind the settling, a list for each factor; a frame is encoded once for all of them.

    They end by the motion's delay before the frames do, so that no frame stands for what comes after the end.
    """
    found: list[list[Frame]] = [[] for _ in alphas]
    given = 0
    with exact_float32(device.type):
        for frame in frames:
            due = motion(method, levels([frame], device))
            given += due is not None
            if due is not None and given > SETTLING:
                for outputs, alpha in zip(found, alphas, strict=True):
                    outputs.append(to_frame(method.render(*due, alpha)))
    return found


def _means(rows: list[Row]) -> list[Row]:
    """Over scenes."""
    keys = ("mode", "motion", "alpha", "method")
    means: list[Row] = []
    for values in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        own = [row for row in rows if tuple(row[key] for key in keys) == values]
        mean = dict(zip(keys, values, strict=True)) | {"expected": own[0]["expected"]}
        for name in ("measured", "ratio", "angle"):
            mean[name], mean[f"{name}_error"] = mean_and_error([r[name] for r in own if r[name] is not None])
        means.append(mean | {"corners": min(row["corners"] for row in own), "clips": len(own)})
    return means


def _summary(means: list[Row]) -> dict[str, dict[str, float | None]]:
    """Of every method: the median ratio in each mode."""
    found: dict[str, dict[str, float | None]] = {}
    for row in means:
        own = [r["ratio"] for r in means if (r["method"], r["mode"]) == (row["method"], row["mode"])]
        known = [ratio for ratio in own if ratio is not None]
        found.setdefault(row["method"], {})[row["mode"]] = float(np.median(known)) if known else None
    return found


def _table(means: list[Row]) -> Shown:
    names = titles(dict.fromkeys(row["method"] for row in means))
    cells = {(row["mode"], row["motion"], row["alpha"], row["method"]): row for row in means}
    rows = []
    for mode, motion, alpha in dict.fromkeys((row["mode"], row["motion"], row["alpha"]) for row in means):
        own = [cells[mode, motion, alpha, name] for name in names]
        told = (number(row["measured"], 3, row["measured_error"]) for row in own)
        rows.append((mode, f"{motion:g}", f"{alpha:g}", number(own[0]["expected"], 3), *told))
    columns = ("mode", "motion [px]", "alpha", "expected [px]", *names.values())
    return Shown("Modes of video: fitted amplitude of the output [px]", columns, rows)
