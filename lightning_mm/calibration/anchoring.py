"""The ``threshold anchor`` command: from trained widths of the baseline to the paper's line on their pairs."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from lightning_mm.calibration.anchors import PAPER_SSIM, WIDTHS, Anchoring, anchor
from lightning_mm.errors import InputError, one_line
from lightning_mm.models import MagnifierConfig
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.model import Model, models_of
from lightning_mm.reporting.provenance import differences
from lightning_mm.reporting.run import Run, validation_text
from lightning_mm.reporting.threshold import VISUAL_THRESHOLD_SSIM, Threshold, interval_text
from lightning_mm.runs import git_commit, package_versions, require_writable

DRAWS, SEED = 20_000, 0
OUT = Path("runs/threshold.json")


def anchor_threshold(args: list[str]) -> None:
    """Carry the paper's 0.966 over to our validation pairs, by widths of the baseline trained on them.

    Args:
        args: Command-line arguments: directories, then options.

    Raises:
        InputError: The arguments are wrong, the runs do not compare or do not order the widths, or the file cannot be
            written.
    """
    parser = argparse.ArgumentParser(
        prog="lightning-mm threshold anchor",
        description=f"Carry the paper's visual threshold of {VISUAL_THRESHOLD_SSIM} over to our validation pairs. "
        f"Reads the runs of the baseline at encoder widths {', '.join(map(str, PAPER_SSIM))}, whose SSIM the paper "
        "prints, and where there are any of 16 and 24: all trained and measured in one way, with any number of seeds.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("directories", type=Path, nargs="*", metavar="RUN_DIR", help="directory with runs below it")
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="FILE", help=f"file for 'report --threshold' (default: {OUT})"
    )
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N", help=f"draws of the interval ({DRAWS:,})")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"seed of the draws ({SEED})")
    try:
        options = parser.parse_args(args)
    except argparse.ArgumentError as error:
        raise InputError(f"threshold anchor: {one_line(error)}") from None
    if not options.directories:
        raise InputError("threshold anchor: no RUN_DIR: must be one or more directories with runs below them")
    if options.draws < 100:
        raise InputError(f"--draws {options.draws}: must be >= 100")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must be >= 0")
    require_writable(options.out, "--out")
    runs = {run.path.resolve(): run for directory in options.directories for run in collect(directory).runs}
    models = widths_of(list(runs.values()))
    found = anchor({w: list(m.by_seed("ssim").values()) for w, m in models.items()}, VISUAL_THRESHOLD_SSIM,
                   options.draws, options.seed)  # fmt: skip
    first = models[min(models)].first
    widths = ", ".join(map(str, PAPER_SSIM))
    source = f"the paper's {VISUAL_THRESHOLD_SSIM} by {counted_seeds(models)} of the baseline at widths {widths}"
    threshold = Threshold(found.value, "anchored", source, found.interval, first.results.validation)
    threshold.write(
        options.out,
        how="linear in log(1 - SSIM) between the printed widths around the paper's SSIM; interval over seeds",
        runs=[str(run.path) for model in models.values() for run in model.runs],
        settings={"draws": options.draws, "seed": options.seed, "paper_ssim": VISUAL_THRESHOLD_SSIM},
        widths=[
            {"width": w, "paper_ssim": PAPER_SSIM.get(w), "implied_paper_ssim": found.implied.get(w),
             "ssim": m.ssim, "sd": m.sd("ssim"), "seeds": m.by_seed("ssim")} for w, m in models.items()
        ],
        protocol=first.protocol(),
        spread={"sd": found.spread, "degrees_of_freedom": found.freedom, "disordered": found.disordered},
        versions=package_versions(),
        commit=git_commit(),
    )  # fmt: skip
    print("\n".join(lines(models, found, threshold)))
    print(f"wrote {options.out}")


def widths_of(runs: Sequence[Run]) -> dict[int, Model]:
    """The model of each width, narrowest first.

    Raises:
        InputError: A run is no width of the baseline, has no SSIM or differs from others in what must be equal; a width
            whose SSIM the paper prints is missing, or was trained in two ways; or our SSIM does not rise with width.
    """
    for run in runs:
        if width_of(run) is None:
            raise InputError(
                f"{run.path}: not the baseline at an encoder width of {', '.join(map(str, WIDTHS))} (decoder twice as "
                "wide, all else equal)"
            )
        if run.ssim is None:
            raise InputError(f"{run.path}: has no SSIM ({run.results.absent.get('ssim', 'no reason recorded')})")
    if different := differences(runs):
        raise InputError(f"the runs do not compare, they differ in {different[0]}")
    found: dict[int, Model] = {}
    for model in models_of(runs):
        width = width_of(model.first)
        assert width is not None
        if width in found:
            raise InputError(
                f"width {width}: {found[width].path} and {model.path} differ in more than the seed, or repeat it; give "
                "one training with several seeds"
            )
        found[width] = model
    models = {width: found[width] for width in sorted(found)}
    if missing := [width for width in PAPER_SSIM if width not in models]:
        raise InputError(f"no run of encoder width {', '.join(map(str, missing))}, whose SSIM the paper prints")
    ours = {width: models[width].ssim or 0.0 for width in PAPER_SSIM}
    for narrow, wide in pairwise(ours):
        if ours[narrow] >= ours[wide]:
            raise InputError(
                f"our SSIM does not rise with width ({ours[narrow]:.4f} at {narrow}, {ours[wide]:.4f} at {wide}), as "
                "the paper's does: this training is too short to anchor anything; train longer"
            )
    return models


def width_of(run: Run) -> int | None:
    """Encoder width of a run of the baseline at one of ``WIDTHS``; ``None`` of any other network."""
    try:
        arch = MagnifierConfig(**run.results.arch).canonical()
    except (TypeError, ValueError):
        return None
    width = arch.encoder_channels
    variant = replace(MagnifierConfig.baseline(), encoder_channels=width, decoder_channels=2 * width)
    return width if width in WIDTHS and arch == variant.canonical() else None


def counted_seeds(models: dict[int, Model]) -> str:
    """How many seeds the printed widths have, in words."""
    numbers = sorted({len(models[width].runs) for width in PAPER_SSIM})
    return f"{' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} seed{'s' if numbers[-1] > 1 else ''}"


def lines(models: dict[int, Model], found: Anchoring, threshold: Threshold) -> list[str]:
    """What was found, in words."""
    said = ["width  paper   ours"]
    for width, model in models.items():
        printed = f"{PAPER_SSIM[width]:.4f}" if width in PAPER_SSIM else "  -   "
        check = f"  (stands for {found.implied[width]:.4f}; a check, not used)" if width in found.implied else ""
        said.append(f"{width:5d}  {printed}  {model.text('ssim', 4)}{check}")
    values = [model.ssim or 0.0 for model in models.values()]
    if values != sorted(values):
        said.append("Over all widths our SSIM does not rise in order, so the scale between the printed ones is rough.")
    pairs = validation_text(models[min(models)].results)
    where = f"SSIM {threshold.value:.4f} on {pairs}"
    said.append(f"The paper's {VISUAL_THRESHOLD_SSIM} is {where}; {interval_text(threshold.interval)}")
    if found.interval is None:
        said.append("One seed of each width tells no spread, so there is no interval.")
    elif found.disordered > 0.0:
        said.append(f"In {found.disordered:.1%} of the draws the widths around it are not in order; they widen it.")
    return said
