"""Linearity test (the paper's Section 6.4 and Fig. 10): how far the output has really moved, against how far it should.

Twice: in clips that swing by 0.2 px and are magnified up to 80 times, as in the paper, and in single pairs of frames of
several motions. Outputs are rounded to 8 bits and corners of the first frame are found again in them
(Kanade-Lucas-Tomasi, as in the paper). "target" is the tracker's own error: the same measurement of the exact target.
Of a clip the amplitude of the known sine is fitted; the raw peak-to-peak grows with noise.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import linregress

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.rendering import render_pairs
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.evaluation.clips import (
    Displacement,
    Sine,
    enough,
    magnify_clip,
    quantised,
    rendered_clip,
    textured_scene,
    track_frames,
    tracker_of,
)
from lightning_mm.evaluation.levels import Level, collated, moved_by
from lightning_mm.evaluation.methods import Method, titles
from lightning_mm.evaluation.protocol import Bench, Record, Row, Shown, known, mean_and_error, number
from lightning_mm.magnification.frames import to_frame
from lightning_mm.measuring.tracking import Tracker, require_opencv
from lightning_mm.video.colour import Frame

MOTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
FACTORS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
LARGEST = 20.0
TARGET = "target"
CLIP_PEAK, CLIP_FRAMES, CLIP_CYCLES = 0.2, 60, 6
CLIP_FACTORS = (5.0, 10.0, 20.0, 40.0, 80.0)


def run(bench: Bench) -> Record:
    """The "linearity" protocol."""
    options = bench.options
    bench.say(f"linearity: {len(bench.methods)} methods, {options.clips} clips of {CLIP_FRAMES} frames")
    photos = bench.scenes()[1] if options.photos else None
    clips = [textured_scene(index, options.size, photos, bench.device) for index in range(options.clips)]
    rows = [row for scene in clips for row in clip_amplitudes(bench.methods, *scene, options.size)]
    means, fits = _means(rows), _fits(rows)
    levels = linearity_levels()
    bench.say(f"linearity: {len(bench.methods)} methods at {len(levels)} levels, {options.samples} scenes each")
    pairs = linearity(bench.methods, levels, *bench.scenes(), options.samples)
    return Record(
        heading="Linearity",
        about=f"How far the output has really moved, measured by tracking corners. In clips that swing by {CLIP_PEAK} "
        "px and are magnified by 5 to 80 in static mode (Section 6.4, Fig. 10): the fitted amplitude against the "
        "factor times the input's. In pairs of frames: the displacement against alpha times the motion, up to "
        f"{LARGEST:g} px. The row “target” is the exact answer through the same measurement, so its deviation is the "
        "measurement's own error.",
        settings={
            "samples": options.samples,
            "clips": options.clips,
            "size": options.size,
            "textures": "photos" if options.photos else "procedural; dead leaves in clips",
            "clip": {"peak_px": CLIP_PEAK, "frames": CLIP_FRAMES, "cycles": CLIP_CYCLES, "input": "8 bits, dithered"},
            "mode": "static, against the first frame",
            "tracker": "Lucas-Kanade, 3 levels, window 31 px, refined in floats, corners of the first input frame",
        },
        tables={"linearity_clips": means, "linearity_fits": fits, "linearity": pairs},
        summary={fit["method"]: {k: v for k, v in fit.items() if k != "method"} for fit in fits},
        shown=[_clip_table(means), _fit_table(fits), _pair_table(pairs)],
    )


def clip_amplitudes(
    methods: dict[str, Method], scenes: dict[str, torch.Tensor], bank: TextureBank, size: int
) -> list[Row]:
    """Fitted amplitudes of one swinging scene, of every method and of the exact target at ``CLIP_FACTORS``.

    Args:
        methods: By name.
        scenes: One scene.
        bank: Its textures.
        size: Side of the frames in pixels.

    Returns:
        Rows: "method", "alpha", "expected" and "measured" amplitude in px (``None`` where too few corners are found),
        "residual" (root mean square of what is no sine, px) and "corners" (the fewest in a frame).

    Raises:
        InputError: OpenCV is not installed.
    """
    require_opencv()
    phase = 2.0 * math.pi * CLIP_CYCLES * np.arange(CLIP_FRAMES) / CLIP_FRAMES
    motion = CLIP_PEAK * np.sin(phase)
    frames = quantised(rendered_clip(scenes, bank, size, motion), scenes)
    tracker = tracker_of(frames[0])
    rows = []
    for name, method in methods.items():
        outputs = [[to_frame(out) for out in found] for found in magnify_clip(method, frames, CLIP_FACTORS)]
        for place, alpha in enumerate(CLIP_FACTORS):
            rows.append(_clip_row(name, alpha, tracker, [found[place] for found in outputs], phase))
    for alpha in CLIP_FACTORS:
        exact = [to_frame(frame) for frame in rendered_clip(scenes, bank, size, alpha * motion)]
        rows.append(_clip_row(TARGET, alpha, tracker, exact, phase))
    return rows


def _clip_row(method: str, alpha: float, tracker: Tracker | None, frames: list[Frame], phase: Displacement) -> Row:
    moved, corners = track_frames(tracker, frames)
    sine = Sine(moved[:, 0], phase) if enough(moved[:, 0], 3) else None
    return {
        "method": method,
        "alpha": alpha,
        "expected": CLIP_PEAK * alpha,
        "measured": None if sine is None else sine.amplitude,
        "residual": None if sine is None else sine.residual,
        "corners": corners,
    }


def _means(rows: list[Row]) -> list[Row]:
    """Over scenes."""
    means = []
    for method, alpha in dict.fromkeys((row["method"], row["alpha"]) for row in rows):
        own = [r for r in rows if (r["method"], r["alpha"]) == (method, alpha)]
        found = [r for r in own if r["measured"] is not None]
        measured, error = mean_and_error([r["measured"] for r in found])
        expected = own[0]["expected"]
        means.append(
            {
                "method": method,
                "alpha": alpha,
                "expected": expected,
                "measured": measured,
                "measured_error": error,
                "ratio": None if measured is None else measured / expected,
                "residual": mean_and_error([r["residual"] for r in found])[0],
                "corners": min(r["corners"] for r in own),
                "clips": len(found),
            }
        )
    return means


def _fits(rows: list[Row]) -> list[Row]:
    """Straight lines through measured over expected amplitudes of all clips."""
    fits = []
    for method in dict.fromkeys(row["method"] for row in rows):
        found = [r for r in rows if r["method"] == method and r["measured"] is not None]
        fit: Row = dict.fromkeys(("slope", "intercept_px", "r_squared", "largest_error_px"))
        fit = {"method": method, **fit}
        if len({r["expected"] for r in found}) > 2:
            line: Any = linregress([r["expected"] for r in found], [r["measured"] for r in found])
            # Without any change in what is measured, there is nothing that a line could explain.
            fit |= {
                "slope": known(line.slope),
                "intercept_px": known(line.intercept),
                "r_squared": known(line.rvalue**2),
            }
            fit["largest_error_px"] = max(abs(r["measured"] - r["expected"]) for r in found)
        fits.append(fit)
    return fits


def linearity_levels() -> list[Level]:
    """Motions of 0.05 to 1 px and total factors of 1 to 80, as far as their product is no more than 20 px."""
    return [Level(m, magnified=m * f) for m in MOTIONS for f in FACTORS if m * f <= LARGEST]


@torch.inference_mode()
def linearity(
    methods: dict[str, Method], levels: list[Level], sampler: SceneSampler, bank: TextureBank, samples: int
) -> list[dict[str, Any]]:
    """Displacement of every method's output at every level, over the same scenes.

    Args:
        methods: By name.
        levels: Motions and factors.
        sampler: Draws the scenes, whose motion is replaced.
        bank: Their textures, on the device that renders and magnifies.
        samples: Scenes per level.

    Returns:
        A row for each level and method, and for the method ``TARGET``: "motion", "alpha", "expected" (motion times
        alpha, px), "method", "measured" (mean of the displacement along the motion, px; ``None`` where nothing was
        found), "measured_error" (its standard error) and "samples" (those in which corners were found).

    Raises:
        InputError: OpenCV is not installed.
    """
    require_opencv()
    rows = []
    for level in levels:
        found: dict[str, list[float]] = {name: [] for name in (*methods, TARGET)}
        for index in range(samples):
            scenes = moved_by(collated(sampler, bank, range(index, index + 1)), level, together=True)
            pairs = render_pairs(scenes, bank, sampler.size)
            along = scenes["shift"][0, 0].double().cpu().numpy()[::-1] / level.motion  # (x, y), of length 1
            tracker = tracker_of(pairs.frame_a)
            if tracker is None:
                continue
            outputs = {name: method(pairs.frame_a, pairs.frame_b, pairs.alpha) for name, method in methods.items()}
            for name, output in {**outputs, TARGET: pairs.target}.items():
                moved, corners = tracker(to_frame(output.float()))
                found[name] += [float(moved @ along)] if corners else []
        rows += [_row(level, name, values) for name, values in found.items()]
    return rows


def _row(level: Level, method: str, values: list[float]) -> dict[str, Any]:
    measured, error = mean_and_error(values)
    return {
        "motion": level.motion,
        "alpha": level.alpha,
        "expected": level.magnified,
        "method": method,
        "measured": measured,
        "measured_error": error,
        "samples": len(values),
    }


def _clip_table(means: list[Row]) -> Shown:
    names = titles(dict.fromkeys(row["method"] for row in means))
    found = {(row["method"], row["alpha"]): row for row in means}
    rows = []
    for alpha in CLIP_FACTORS:
        cells = (number(found[name, alpha]["measured"], 3, found[name, alpha]["measured_error"]) for name in names)
        rows.append((f"{alpha:g} x {CLIP_PEAK} = {alpha * CLIP_PEAK:g}", *cells))
    return Shown("Linearity in clips: fitted amplitude [px]", ("alpha x input = expected", *names.values()), rows)


def _fit_table(fits: list[Row]) -> Shown:
    names = titles(fit["method"] for fit in fits)
    digits = {"slope": 3, "intercept_px": 3, "r_squared": 4, "largest_error_px": 3}
    rows = [(names[fit["method"]], *(number(fit[key], d) for key, d in digits.items())) for fit in fits]
    title = "Linearity in clips: straight line through measured over expected amplitudes"
    return Shown(title, ("method", "slope", "intercept [px]", "R squared", "largest error [px]"), rows)


def _pair_table(pairs: list[Row]) -> Shown:
    names = titles(dict.fromkeys(row["method"] for row in pairs))
    found = {(row["motion"], row["alpha"], row["method"]): row["measured"] for row in pairs}
    rows = []
    for motion, alpha, expected in dict.fromkeys((row["motion"], row["alpha"], row["expected"]) for row in pairs):
        cells = (number(found[motion, alpha, name], 3) for name in names)
        rows.append((f"{motion:g} x {alpha:g} = {expected:g}", *cells))
    return Shown("Linearity in pairs: displacement [px]", ("motion x alpha = expected", *names.values()), rows)
