"""The subpixel test (the paper's Section 6.3, Fig. 8c): can a method see motion far below a pixel?"""

from statistics import mean

from lightning_mm.evaluation.levels import beating, curve, curve_settings, ends_and_middle, left_out, subpixel_levels
from lightning_mm.evaluation.methods import FRAME_B, titles
from lightning_mm.evaluation.protocol import Bench, Record, Shown


def run(bench: Bench) -> Record:
    """The "subpixel" protocol: SSIM over motions, each magnified to 10 px."""
    options = bench.options
    levels = subpixel_levels(options.grid)
    bench.say(f"subpixel: {len(bench.methods)} methods at {len(levels)} levels, {options.samples} scenes each")
    rows = curve(bench.methods, levels, *bench.scenes(), options.samples, border=options.border)
    points, found = ends_and_middle(rows, "motion")
    shown = titles(found)
    summary: dict[str, dict[str, float | None]] = {
        method: {
            "mean_ssim": mean(row["ssim"] for row in rows if row["method"] == method),
            "levels_above_frame_b": beating(rows, method, FRAME_B),
        }
        for method in bench.methods
    }
    return Record(
        heading="Subpixel test",
        about="SSIM with the exact target where every layer of a scene moves by a fraction of a pixel and is to be "
        "magnified to 10 px (Section 6.3, Fig. 8c). Returning frame B is the floor: what stays below it has shown "
        f"nothing.{left_out(options.border)}",
        settings={**curve_settings(bench, levels), "grid": options.grid},
        tables={"subpixel": rows},
        summary=summary,
        shown=[
            Shown(
                "Subpixel test: motion magnified to 10 px, SSIM",
                ("method", *(f"motion {point:.2g} px" for point in points)),
                [(shown[method], *(f"{value:.4f}" for value in values)) for method, values in found.items()],
            )
        ],
    )
