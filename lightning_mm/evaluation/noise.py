"""The noise test (the paper's Section 6.3, Fig. 8a and b): does a method magnify motion, or noise?"""

from statistics import mean
from typing import Any

from lightning_mm.evaluation.levels import (
    NOISE_MOTIONS,
    beating,
    curve,
    curve_settings,
    ends_and_middle,
    left_out,
    noise_levels,
)
from lightning_mm.evaluation.methods import FRAME_B, titles
from lightning_mm.evaluation.protocol import Bench, Record, Shown


def run(bench: Bench) -> Record:
    """The "noise" protocol: SSIM over noise factors at a small and at a large motion, both magnified to 10 px."""
    tables, shown = {}, []
    settings: dict[str, Any] = {}
    summary: dict[str, dict[str, float | None]] = {method: {} for method in bench.methods}
    for motion in NOISE_MOTIONS:
        levels = noise_levels(motion)
        say = f"{len(bench.methods)} methods at {len(levels)} levels, {bench.options.samples} scenes each"
        bench.say(f"noise, {motion:g} px: {say}")
        rows = curve(bench.methods, levels, *bench.scenes(), bench.options.samples, border=bench.options.border)
        tables[f"noise_{motion:g}px"] = rows
        settings = curve_settings(bench, levels)
        for method, numbers in summary.items():
            numbers[f"mean_ssim_{motion:g}px"] = mean(row["ssim"] for row in rows if row["method"] == method)
            numbers[f"levels_above_frame_b_{motion:g}px"] = beating(rows, method, FRAME_B)
        points, found = ends_and_middle(rows, "noise")
        short = titles(found)
        shown.append(
            Shown(
                f"Noise test: {motion:g} px magnified to 10 px, SSIM",
                ("method", *(f"noise {point:.3g}" for point in points)),
                [(short[method], *(f"{value:.4f}" for value in values)) for method, values in found.items()],
            )
        )
    return Record(
        heading="Noise test",
        about="SSIM with the clean target where both input frames carry shot noise, whose standard deviation is the "
        "noise factor times the square root of the intensity in [0, 255] (Section 6.3, Fig. 8a and b). What "
        "removes the noise without magnifying the motion has a high SSIM as well; read it beside the subpixel test and "
        f"the test for copying.{left_out(bench.options.border)}",
        settings={
            **settings,
            "motions_px": list(NOISE_MOTIONS),
            "noise": "standard deviation n * sqrt(I), I in [0, 255]",
        },
        tables=tables,
        summary=summary,
        shown=shown,
    )
