"""Physical accuracy (the paper's Section 6.4, Fig. 9 and Table A6): does a known vibration come out as it should?

An accelerometer gives the peak acceleration a of a vibration of frequency f, hence its peak displacement
a / (2 pi f)^2, and the lens turns that into pixels. The paper's omega is such a frequency in hertz: the angular
frequency that its formula needs is 2 pi times that. The clip is rendered, so that displacement is exact.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.evaluation.clips import (
    Displacement,
    Sine,
    enough,
    frequency_of,
    magnify_clip,
    quantised,
    rendered_clip,
    textured_scene,
    track_frames,
    tracker_of,
)
from lightning_mm.evaluation.linearity import TARGET
from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.protocol import Bench, Record, Row, Shown, known, mean_and_error, number
from lightning_mm.evaluation.slices import sharpest_edge, sliced, stacked
from lightning_mm.magnification.frames import to_frame
from lightning_mm.video.colour import Frame

FPS, FRAMES, ALPHA, HARMONICS = 250.0, 75, 20.0, 5
INPUT = "input"
_MEASURES = {
    "amplitude_error_percent": ("amplitude error [%]", 1),
    "frequency_error_hz": ("frequency error [Hz]", 3),
    "phase_error_degrees": ("phase error [°]", 1),
    "distortion_percent": ("total harmonic distortion [%]", 1),
    "residual_px": ("noise [px]", 3),
}


@dataclass(frozen=True)
class Vibration:
    """A sinusoidal vibration before a camera; values of Table A6.

    Attributes:
        frequency: Hz. The paper's text and table say 20, its caption 21.
        acceleration: Peak, m/s^2.
        distance: From the camera to the vibrator, m.
        focal_length: mm.
        pixel_pitch: Side of a pixel of the sensor, um.
    """

    frequency: float = 20.0
    acceleration: float = 4.11
    distance: float = 2.0
    focal_length: float = 100.0
    pixel_pitch: float = 5.86

    @property
    def peak_mm(self) -> float:
        """Peak displacement mu = a / (2 pi f)^2 in mm."""
        return 1e3 * self.acceleration / (2.0 * math.pi * self.frequency) ** 2

    @property
    def pixels_per_mm(self) -> float:
        """F / (L v): for a distance far beyond the focal length."""
        return self.focal_length / (self.distance * 1e3 * self.pixel_pitch * 1e-3)

    @property
    def peak_px(self) -> float:
        """Peak displacement k in pixels."""
        return self.peak_mm * self.pixels_per_mm


def run(bench: Bench) -> Record:
    """The "vibration" protocol."""
    options = bench.options
    vibration = Vibration(focal_length=options.focal_length)
    bench.say(f"vibration: {len(bench.methods)} methods, {options.clips} clips of {FRAMES} frames")
    photos = bench.scenes()[1] if options.photos else None
    phase = 2.0 * math.pi * vibration.frequency * np.arange(FRAMES) / FPS
    motion = vibration.peak_px * np.sin(phase)
    clips, waveforms, picture = [], [], None
    for index in range(options.clips):
        scenes, bank = textured_scene(index, options.size, photos, bench.device)
        frames = quantised(rendered_clip(scenes, bank, options.size, motion), scenes)
        tracker = tracker_of(frames[0])
        shown = {INPUT: [to_frame(frame) for frame in frames]}
        shown[TARGET] = [to_frame(frame) for frame in rendered_clip(scenes, bank, options.size, ALPHA * motion)]
        for name, method in bench.methods.items():
            shown[name] = [to_frame(out) for (out,) in magnify_clip(method, frames, [ALPHA])]
        for name, found in shown.items():
            moved, corners = track_frames(tracker, found)
            expected = motion if name == INPUT else ALPHA * motion
            clips.append(
                {"method": name, "clip": index, "corners": corners, **accuracy(moved[:, 0], vibration, expected)}
            )
            waveforms += _waveform(name, moved[:, 0], expected) if index == 0 else []
        picture = _picture(shown, motion) if picture is None else picture
    assert picture is not None
    means = _means(clips)
    summary = {row["method"]: {key: row[key] for key in _MEASURES} for row in means}
    paper = Vibration()
    return Record(
        heading="Physical accuracy",
        about=_about(vibration, paper),
        settings={
            "vibration": {**asdict(vibration), "peak_mm": vibration.peak_mm, "peak_px": vibration.peak_px},
            "paper": {**asdict(paper), "peak_px": paper.peak_px},
            "alpha": ALPHA,
            "mode": "static, against the first frame, no temporal filter",
            "fps": FPS,
            "frames": FRAMES,
            "input": "8 bits, dithered, no other noise",
            "clips": options.clips,
            "size": options.size,
            "textures": "photos" if options.photos else "dead leaves",
        },
        tables={"vibration": means, "vibration_waveforms": waveforms},
        summary=summary,
        shown=[_table(means)],
        pictures={"vibration_slices": picture},
    )


def _about(vibration: Vibration, paper: Vibration) -> str:
    return (
        f"A vibration of {vibration.acceleration} m/s² at {vibration.frequency:g} Hz, {vibration.peak_mm:.3f} mm, seen "
        f"from {vibration.distance:g} m by a lens of {vibration.focal_length:g} mm (Table A6): "
        f"{vibration.peak_px:.3f} px in the input, {ALPHA * vibration.peak_px:.2f} px in the output, as it is "
        f"magnified by {ALPHA:g} in static mode without a temporal filter. The paper's lens of "
        f"{paper.focal_length:g} mm makes {paper.peak_px:.2f} px and {ALPHA * paper.peak_px:.1f} px, which is beyond "
        "the motions that networks are trained for. Amplitude, frequency and phase of the tracked output against what "
        f"they should be, and how much of it lies in the harmonics 2 to {HARMONICS}. The rows “input” and “target” are "
        "measured alike."
    )


def accuracy(displacement: Displacement, vibration: Vibration, expected: Displacement) -> dict[str, float | None]:
    """How a tracked waveform compares with the expected one.

    Args:
        displacement: (T,) px at ``FPS``, NaN where nothing was found.
        vibration: What moves.
        expected: (T,) px: a sine of phase 0.

    Returns:
        "amplitude_px", and the errors "amplitude_error_percent", "frequency_error_hz", "phase_error_degrees"
        (positive: the output is ahead), "distortion_percent" and "residual_px"; ``None`` where too few frames have a
        displacement.
    """
    if not enough(displacement, 2 * HARMONICS + 1):
        return dict.fromkeys(("amplitude_px", *_MEASURES))
    phase = 2.0 * math.pi * vibration.frequency * np.arange(len(displacement)) / FPS
    sine = Sine(displacement, phase, HARMONICS)
    right = Sine(expected, phase).amplitude
    return {
        "amplitude_px": sine.amplitude,
        "amplitude_error_percent": 100.0 * (sine.amplitude / right - 1.0),
        "frequency_error_hz": frequency_of(displacement, FPS) - vibration.frequency,
        "phase_error_degrees": math.degrees(sine.phase),
        "distortion_percent": known(100.0 * sine.distortion),
        "residual_px": sine.residual,
    }


def _waveform(method: str, moved: Displacement, expected: Displacement) -> list[Row]:
    return [
        {"method": method, "frame": frame, "time_s": frame / FPS, "expected": float(e), "measured": known(m)}
        for frame, (m, e) in enumerate(zip(moved, expected, strict=True))
    ]


def _means(clips: list[Row]) -> list[Row]:
    means = []
    for method in dict.fromkeys(row["method"] for row in clips):
        own = [row for row in clips if row["method"] == method]
        mean: dict[str, Any] = {"method": method}
        for key in ("amplitude_px", *_MEASURES):
            mean[key], mean[f"{key}_error"] = mean_and_error([row[key] for row in own if row[key] is not None])
        means.append({**mean, "corners": min(row["corners"] for row in own), "clips": len(own)})
    return means


def _table(means: Sequence[Row]) -> Shown:
    names = titles(row["method"] for row in means)
    signed = {key: key.split("_")[0] in ("amplitude", "frequency", "phase") for key in _MEASURES}
    rows = [
        (
            names[row["method"]],
            number(row["amplitude_px"], 3),
            *(number(row[key], digits, sign=signed[key]) for key, (_, digits) in _MEASURES.items()),
        )
        for row in means
    ]
    columns = ("method", "amplitude [px]", *(title for title, _ in _MEASURES.values()))
    return Shown("Physical accuracy: the tracked vibration against the expected one", columns, rows)


def _picture(shown: dict[str, list[Frame]], motion: Displacement) -> NDArray[np.uint8]:
    reach = math.ceil(ALPHA * float(np.abs(motion).max())) + 8
    row, column = sharpest_edge(shown[INPUT][0], reach)
    names = titles(shown)
    panels = {}
    for name, frames in shown.items():
        curve = motion if name == INPUT else ALPHA * motion
        panels[names[name]] = sliced(frames, row, column, reach, curve)
    return stacked(panels, f"row {row}; x runs down, time to the right; red: as it should move")
