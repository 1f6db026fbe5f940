"""Detecting copies of the input: where between frame B and the target does an output lie?

A network that returns its input can have a high SSIM (the paper's Section 6.3 on noise, Fig. 8 bottom). With frame B,
target Y and output O of a pair as vectors, the projection <O - B, Y - B> / |Y - B|^2 is 0 for a copy of B and 1 for the
target, and unlike a distance it does not change with what the output blurs or adds elsewhere.
"""

from typing import Any

import torch
from torch import Tensor

from lightning_mm.evaluation.levels import Level, level_pairs
from lightning_mm.evaluation.methods import Method, titles
from lightning_mm.evaluation.protocol import Bench, Record, Row, Shown, mean_and_error, number

MOTIONS = (0.05, 0.2, 1.0)
LEAST_CHANGE = 2.0
"""Pairs whose target differs from frame B by less than this many grey levels (root mean square) tell nothing."""


def run(bench: Bench) -> Record:
    """The "copying" protocol: on levels of the subpixel test."""
    options = bench.options
    bench.say(f"copying: {len(bench.methods)} methods at {len(MOTIONS)} levels, {options.samples} scenes each")
    sampler, bank = bench.scenes()
    pairs: list[Row] = []
    for motion in MOTIONS:
        first = 0
        for batch in level_pairs(Level(motion), sampler, bank, options.samples):
            for name, method in bench.methods.items():
                pairs += [{"motion": motion, **row} for row in _rows(name, method, batch, first)]
            first += len(batch.alpha)
    if not pairs:
        note = f"no pair's target differs from its frame B by {LEAST_CHANGE:g} grey levels"
        return Record(_HEADING, _ABOUT, {}, {}, {}, [], left_out={"everything": note})
    means = [_mean(pairs, motion, name) for motion in (None, *MOTIONS) for name in bench.methods]
    means = [row for row in means if row["pairs"]]
    return Record(
        heading=_HEADING,
        about=_ABOUT,
        settings={
            "motions_px": list(MOTIONS),
            "samples": options.samples,
            "size": options.size,
            "textures": "photos" if options.photos else "procedural",
            "least_change_grey_levels": LEAST_CHANGE,
            "distance": "mean absolute difference in grey levels of 255, RGB, output clamped",
        },
        tables={"copying": means, "copying_pairs": pairs},
        summary={
            row["method"]: {k: row[k] for k in ("projection", "projection_error", "distance_ratio")}
            for row in means
            if row["motion"] is None
        },
        shown=[_table(means)],
    )


_HEADING = "Copies of the input"
_ABOUT = (
    "Where outputs lie between frame B and the exact target, on levels of the subpixel test: a projection of 0 is a "
    "copy of frame B, 1 is the target. The ratio of the output's distances to the target and to frame B is below 1 "
    "where it is nearer to the target. Mean over pairs ± its standard error."
)


@torch.inference_mode()
def _rows(name: str, method: Method, batch: Any, first: int) -> list[Row]:
    output = method(batch.frame_a, batch.frame_b, batch.alpha).float()
    found = copy_scores(output, batch.frame_b, batch.target)
    kept = (found["change"] >= LEAST_CHANGE).tolist()
    columns = {key: values.tolist() for key, values in found.items()}
    return [
        {"pair": first + i, "method": name, **{key: values[i] for key, values in columns.items()}}
        for i, keep in enumerate(kept)
        if keep
    ]


def copy_scores(output: Tensor, frame_b: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Scores of each pair.

    Args:
        output: (B, 3, H, W), nominally in [-1, 1]; clamped.
        frame_b: Same shape, in [-1, 1].
        target: Same shape, in [-1, 1].

    Returns:
        (B,) float64 each: "projection" (0 a copy of B, 1 the target); "distance_b" and "distance_target", mean absolute
        differences in grey levels of 255; "change", root mean square of target minus frame B in grey levels.
    """
    o, b, y = (127.5 * image.double().clamp(-1.0, 1.0) for image in (output, frame_b, target))
    over = (1, 2, 3)
    asked = y - b
    return {
        "projection": ((o - b) * asked).sum(over) / asked.square().sum(over).clamp(min=1e-12),
        "distance_b": (o - b).abs().mean(over),
        "distance_target": (o - y).abs().mean(over),
        "change": asked.square().mean(over).sqrt(),
    }


def _mean(pairs: list[Row], motion: float | None, method: str) -> Row:
    own = [row for row in pairs if row["method"] == method and motion in (None, row["motion"])]
    row: Row = {"motion": motion, "method": method}
    for key in ("projection", "distance_b", "distance_target"):
        row[key], row[f"{key}_error"] = mean_and_error([pair[key] for pair in own])
    row["distance_ratio"] = row["distance_target"] / row["distance_b"] if row["distance_b"] else None
    return {**row, "pairs": len(own)}


def _table(means: list[Row]) -> Shown:
    names = titles(dict.fromkeys(row["method"] for row in means))
    found = {(row["method"], row["motion"]): row for row in means}
    motions = [motion for motion in MOTIONS if any(row["motion"] == motion for row in means)]
    rows = []
    for method, name in names.items():
        total = found[method, None]
        cells = (number(found[method, motion]["projection"], 3) for motion in motions)
        distances = (number(total[key], 2) for key in ("distance_b", "distance_target", "distance_ratio"))
        rows.append((name, number(total["projection"], 3, total["projection_error"]), *cells, *distances))
    columns = ("method", "projection", *(f"at {motion:g} px" for motion in motions), "to B", "to target", "ratio")
    return Shown("Copies of the input: 0 is a copy of frame B, 1 the target; distances in grey levels", columns, rows)
