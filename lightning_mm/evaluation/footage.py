"""Real high-speed footage of a vibration whose frequency is known: is it still there once magnified, and how large?

In footage nobody knows the true displacement, but the input's own can be tracked, and the frequency is known from what
was filmed. Input and output are tracked alike, each against its own first frame, in the same region.
"""

import math
from itertools import islice
from typing import Any

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.evaluation.clips import (
    Displacement,
    Sine,
    enough,
    frequency_of,
    magnify_clip,
    track_frames,
    tracker_of,
)
from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.protocol import Bench, Options, Record, Row, Shown, known, number
from lightning_mm.magnification.frames import to_frame, to_tensor
from lightning_mm.measuring.tracking import Tracker
from lightning_mm.video.clip import Clip
from lightning_mm.video.opening import open_clip
from lightning_mm.video.regions import region

INPUT = "input"
LEAST_FRAMES = 16


def check(options: Options) -> None:
    """Refuse footage that cannot be judged, before anything runs.

    Raises:
        InputError: A setting is missing or out of range, the file is not there or too short, or the region not inside
            of it.
    """
    clip, frequency, place = _opened(options)
    frames = islice(iter(clip), options.footage_frames)
    Tracker(next(frames), place, str(clip.path))
    number = 1 + sum(1 for _ in frames)
    if number < LEAST_FRAMES:
        raise InputError(f"{options.footage}: {number} frames; judging footage takes at least {LEAST_FRAMES}")
    lowest, highest = 2.0 * float(clip.fps) / number, 0.5 * float(clip.fps)
    if not lowest <= frequency < highest:
        accepted = f"must be at least {lowest:g}, two cycles in {number} frames, and below {highest:g}, half their rate"
        raise InputError(f"footage_frequency = {frequency:g}: {accepted}")


def _opened(options: Options) -> tuple[Clip, float, tuple[int, int, int, int]]:
    frequency = options.footage_frequency
    if options.footage is None:
        raise InputError("protocols = [footage]: needs --footage, a video file or a folder of images")
    if options.footage_fps is None or frequency is None:
        raise InputError(
            f"footage = {options.footage}: needs --footage_fps, the rate at which it was filmed, and "
            "--footage_frequency, that of the vibration in Hz"
        )
    if options.footage_frames < LEAST_FRAMES:
        raise InputError(f"footage_frames = {options.footage_frames}: must be >= {LEAST_FRAMES}")
    if not (math.isfinite(options.footage_alpha) and options.footage_alpha > 0.0):
        raise InputError(f"footage_alpha = {options.footage_alpha}: must be a number > 0")
    clip = open_clip(options.footage, options.footage_fps)
    return clip, frequency, region(options.footage_roi, clip.width, clip.height)


def run(bench: Bench) -> Record:
    """The "footage" protocol."""
    options = bench.options
    clip, frequency, place = _opened(options)
    frames = list(islice(iter(clip), options.footage_frames))
    fps, alpha = float(clip.fps), options.footage_alpha
    bench.say(f"footage: {len(bench.methods)} methods, {len(frames)} frames of {clip.width} x {clip.height}")
    phase = 2.0 * math.pi * frequency * np.arange(len(frames)) / fps
    before, corners = track_frames(tracker_of(frames[0], place), frames)
    if not np.isfinite(before).all():
        raise InputError(f"{options.footage}: every corner of region {','.join(map(str, place))} was lost in the input")
    sine = Sine(before, phase, trend=True)
    axis, amplitude = sine.direction, sine.amplitude
    moved = {INPUT: (before, corners)}
    for name, method in bench.methods.items():
        tensors = (to_tensor(frame, bench.device) for frame in frames)
        outputs = [to_frame(out) for (out,) in magnify_clip(method, tensors, [alpha])]
        moved[name] = track_frames(tracker_of(outputs[0], place), outputs)
    rows = []
    for name, (found, kept) in moved.items():
        factor = 1.0 if name == INPUT else alpha
        rows.append({"method": name, "alpha": factor, **_row(found @ axis, phase, fps, frequency, factor * amplitude)})
        rows[-1]["corners"] = kept
    waveforms = [
        {"method": name, "frame": t, "time_s": t / fps, "measured": known(d)}
        for name, (found, _) in moved.items()
        for t, d in enumerate(found @ axis)
    ]
    keys = ("frequency_error_hz", "amplitude_ratio")
    return Record(
        heading="Real footage",
        about=f"{options.footage.name if options.footage else ''}, {len(frames)} frames at {fps:g} per second, which "
        f"vibrates at {frequency:g} Hz, magnified by {alpha:g} in static mode: displacement of the region along the "
        f"input's own direction of vibration, before and after. The input's amplitude is {amplitude:.3f} px; the "
        "output's should be alpha times that.",
        settings={
            "file": str(options.footage),
            "fps": fps,
            "frequency_hz": frequency,
            "roi": list(place),
            "alpha": alpha,
            "frames": len(frames),
            "mode": "static, against the first frame, no temporal filter",
            "direction_xy": [float(v) for v in axis],
        },
        tables={"footage": rows, "footage_waveforms": waveforms},
        summary={row["method"]: {key: row[key] for key in keys} for row in rows},
        shown=[_table(rows)],
    )


def _row(moved: Displacement, phase: Displacement, fps: float, frequency: float, expected: float) -> dict[str, Any]:
    if not enough(moved, 4):
        keys = ("frequency_hz", "frequency_error_hz", "amplitude_px", "expected_px", "amplitude_ratio", "residual_px")
        return {**dict.fromkeys(keys), "expected_px": expected}
    sine, found = Sine(moved, phase, trend=True), frequency_of(moved, fps)
    return {
        "frequency_hz": found,
        "frequency_error_hz": found - frequency,
        "amplitude_px": sine.amplitude,
        "expected_px": expected,
        "amplitude_ratio": sine.amplitude / expected if expected > 0.0 else None,
        "residual_px": sine.residual,
    }


def _table(rows: list[Row]) -> Shown:
    names = titles(row["method"] for row in rows)
    cells = [
        (
            names[row["method"]],
            number(row["frequency_hz"], 2),
            number(row["frequency_error_hz"], 2, sign=True),
            number(row["amplitude_px"], 3),
            number(row["expected_px"], 3),
            number(row["amplitude_ratio"], 3),
            number(row["residual_px"], 3),
        )
        for row in rows
    ]
    columns = ("method", "frequency [Hz]", "error [Hz]", "amplitude [px]", "expected [px]", "ratio", "rest [px]")
    return Shown("Real footage: vibration before and after magnification", columns, cells)
