"""Stored tests in the layout of the released evaluation data of the axial model, by the settings of its release.

::

    FOLDER/subpixel/modeNN/*A.png *B.png *Y.png     motion number NN of 15: 0.04 to 1 px, magnified to 10 px
    FOLDER/noise005/modeNN/*A.png *B.png *Y.png     noise factor number NN of 21: 0.01 to 100, at 0.05 px

The total motion factor is no part of the data: it is 10 px over the motion, with the motions rounded as the release
lists them, and 200 in the noise test. Frames get 5 px of black around them before a method sees them, and 8 px are cut
off at each side before SSIM, hence 3 px of the original. SSIM itself is that of all tests (range 255, RGB).
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_mm.data.oh2018 import image_size, read_image
from lightning_mm.errors import InputError
from lightning_mm.evaluation.levels import NOISE_FACTORS
from lightning_mm.evaluation.methods import titles
from lightning_mm.evaluation.pairs import Scorer
from lightning_mm.evaluation.protocol import Bench, Options, Record, Row, Shown, mean_and_error
from lightning_mm.metrics import SSIM_MIN_SIZE, definitions

PADDING, CROP = 5, 8
SUBPIXEL_MOTIONS = (0.04, 0.05, 0.063, 0.079, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.79, 1.0)
TESTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "subpixel": (SUBPIXEL_MOTIONS, tuple(10.0 / motion for motion in SUBPIXEL_MOTIONS)),
    "noise005": (NOISE_FACTORS, (200.0,) * len(NOISE_FACTORS)),
}
"""By test: the level of each mode (motion in px, or noise factor), and its total motion factor."""
LEVELS = {"subpixel": "motion [px]", "noise005": "noise factor"}
"""What the level of a mode is, by test."""
_ROLES = ("A", "B", "Y")


@dataclass(frozen=True)
class Mode:
    """One folder of triples.

    Attributes:
        test: Name of the folder above.
        number: NN of its name.
        level: Motion in px or noise factor; ``None`` where the test is none of the release's.
        alpha: Total motion factor.
        triples: Files of A, B and Y.
    """

    test: str
    number: int
    level: float | None
    alpha: float
    triples: list[tuple[Path, Path, Path]]


def check(options: Options) -> None:
    """Refuse a folder that cannot be judged, before anything runs.

    Raises:
        InputError: See ``find_modes``; or an image to be judged is not readable, too small, or of another size than its
            partners.
    """
    for mode in _modes(options):
        for paths in mode.triples[: options.samples]:
            sizes = [image_size(path) for path in paths]
            for size, path in zip(sizes, paths, strict=True):
                if size != sizes[0]:
                    raise InputError(f"{path}: not of the size of {paths[0].name}")
            if min(sizes[0]) < SSIM_MIN_SIZE + 2 * (CROP - PADDING):
                raise InputError(f"{paths[0]}: both sides must be >= {SSIM_MIN_SIZE + 2 * (CROP - PADDING)} px")


def _modes(options: Options) -> list[Mode]:
    if options.stored is None:
        raise InputError("protocols = [stored]: needs --stored, a folder such as FOLDER/subpixel/mode00")
    if options.stored_alpha is not None and not (math.isfinite(options.stored_alpha) and options.stored_alpha >= 0.0):
        raise InputError(f"stored_alpha = {options.stored_alpha}: must be a number >= 0")
    return find_modes(options.stored, options.stored_alpha)


def find_modes(folder: Path, alpha: float | None = None) -> list[Mode]:
    """The modes below a folder, in order.

    Args:
        folder: Holds the folders of the tests.
        alpha: Total motion factor of all modes; that of the release when left out.

    Raises:
        InputError: No such folder, no mode in it, a mode without images or with an image whose partner is missing, or
            one whose factor is not known.
    """
    if not folder.is_dir():
        raise InputError(f"stored = {folder}: no such folder")
    modes = []
    for place in sorted(folder.glob("*/mode*")):
        found = re.fullmatch(r"mode(\d+)", place.name)
        if not (place.is_dir() and found):
            continue
        test, number = place.parent.name, int(found[1])
        levels, alphas = TESTS.get(test, ((), ()))
        level = levels[number] if number < len(levels) else None
        if alpha is None and level is None:
            known = ", ".join(f"{name} (mode00 to mode{len(of) - 1})" for name, (of, _) in TESTS.items())
            raise InputError(f"{place}: its motion factor is known only for {known}; give --stored_alpha")
        factor = alphas[number] if alpha is None else alpha
        modes.append(Mode(test, number, level, factor, _triples(place)))
    if not modes:
        raise InputError(f"stored = {folder}: no folder TEST/modeNN in it, such as subpixel/mode00")
    return modes


def _triples(place: Path) -> list[tuple[Path, Path, Path]]:
    stems = {role: {path.name[:-5] for path in place.glob(f"*{role}.png")} for role in _ROLES}
    for stem in sorted(set.union(*stems.values())):
        for role in _ROLES:
            if stem not in stems[role]:
                raise InputError(f"{place}: {stem}{role}.png is missing")
    if not stems["A"]:
        raise InputError(f"{place}: no images in it, as 000000A.png, 000000B.png and 000000Y.png")
    a, b, y = ([place / f"{stem}{role}.png" for stem in sorted(stems["A"])] for role in _ROLES)
    return list(zip(a, b, y, strict=True))


def run(bench: Bench) -> Record:
    """The "stored" protocol."""
    options = bench.options
    modes = _modes(options)
    rows: list[Row] = []
    for mode in modes:
        triples = mode.triples[: options.samples]
        bench.say(f"stored: {mode.test}/mode{mode.number:02d}, {len(triples)} of {len(mode.triples)} pairs")
        scores: dict[str, list[float]] = {name: [] for name in bench.methods}
        for paths in triples:
            for name, value in _scores(bench, mode.alpha, paths).items():
                scores[name].append(value)
        for name, values in scores.items():
            mean, error = mean_and_error(values)
            where = {"test": mode.test, "mode": mode.number, "level": mode.level, "alpha": mode.alpha, "method": name}
            rows.append({**where, "ssim": mean, "ssim_error": error, "pairs": len(values)})
    tests = dict.fromkeys(row["test"] for row in rows)
    summary: dict[str, dict[str, float | None]] = {name: {} for name in bench.methods}
    for test in tests:
        for name, numbers in summary.items():
            own = [row["ssim"] for row in rows if (row["test"], row["method"]) == (test, name)]
            numbers[f"{test}_mean_ssim"] = sum(own) / len(own)
    return Record(
        heading="Stored tests",
        about=f"SSIM on stored pairs, {options.stored}, by the settings of the axial model's release: {PADDING} px of "
        f"black around frames, then {CROP} px cut off at each side. “Return frame B” is the SSIM of the input.",
        settings={
            "folder": str(options.stored),
            "pairs_per_mode": options.samples,
            "padding_px": PADDING,
            "crop_px": CROP,
            "alpha": "as given" if options.stored_alpha is not None else "10 px over the motion; 200 for noise005",
            "alphas": {f"{mode.test}/mode{mode.number:02d}": mode.alpha for mode in modes},
            "ssim": definitions()["ssim"],
        },
        tables={"stored": rows},
        summary=summary,
        shown=[_table(rows, test) for test in tests],
    )


@torch.inference_mode()
def _scores(bench: Bench, alpha: float, paths: tuple[Path, Path, Path]) -> dict[str, float]:
    a, b, y = (_padded(path, bench.device) for path in paths)
    factor, scorer = a.new_tensor([alpha]), Scorer("off", CROP)
    return {name: float(scorer(method(a, b, factor), y)["ssim"]) for name, method in bench.methods.items()}


def _padded(path: Path, device: torch.device) -> Tensor:
    frame = read_image(path).to(device).unsqueeze(0).float() / 127.5 - 1.0
    return F.pad(frame, (PADDING,) * 4, value=-1.0)


def _table(rows: list[Row], test: str) -> Shown:
    own = [row for row in rows if row["test"] == test]
    names = titles(dict.fromkeys(row["method"] for row in own))
    found: dict[tuple[int, str], Any] = {(row["mode"], row["method"]): row["ssim"] for row in own}
    cells = []
    for mode, level, alpha in dict.fromkeys((row["mode"], row["level"], row["alpha"]) for row in own):
        first = (f"mode{mode:02d}", "-" if level is None else f"{level:.3g}", f"{alpha:.4g}")
        cells.append((*first, *(f"{found[mode, name]:.4f}" for name in names)))
    return Shown(f"Stored test {test}: SSIM", ("mode", LEVELS.get(test, "level"), "alpha", *names.values()), cells)
