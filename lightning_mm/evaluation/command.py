"""The ``evaluate`` command: runs protocols on methods and writes tables, curves and a page."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from rich.console import Console

from lightning_mm.errors import InputError
from lightning_mm.evaluation import levels, sets
from lightning_mm.evaluation.linearity import linearity, linearity_levels
from lightning_mm.evaluation.methods import methods
from lightning_mm.evaluation.pairs import Scorer, score
from lightning_mm.evaluation.writing import print_tables, write
from lightning_mm.metrics import LPIPS_MIN_SIZE, SSIM_MIN_SIZE, LpipsNet, definitions
from lightning_mm.recording import processor
from lightning_mm.runs import git_commit, package_versions, require_writable
from lightning_mm.video.magnify import pick_device
from lightning_mm.video.measuring import require_opencv
from lightning_mm.weights import SHIPPED, read_magnifier
from lightning_mm.weights.file import tensors_digest

Protocol = Literal["pairs", "subpixel", "noise", "linearity"]


def evaluate(
    weights: list[str] | None = None,
    protocols: list[Protocol] | None = None,
    photos: Path | None = None,
    samples: int = 16,
    pairs: int = sets.PAIRS,
    size: int = sets.SIZE,
    lpips: LpipsNet = "squeeze",
    device: str = "auto",
    out: Path = Path("runs/evaluation"),
) -> None:
    """Judge weights by fixed protocols, beside "return frame B" and linear Eulerian magnification.

    Args:
        weights: Names of weights that ship, weights files or checkpoints; all that ship when left out.
        protocols: Some of these, all when left out. "pairs": SSIM, PSNR and LPIPS on the fixed validation sets,
            procedural and, where photos are given, photo-based. "subpixel": SSIM over motions of 0.04 to 1 px, each
            magnified to 10 px. "noise": SSIM over 21 noise factors at 0.05 px and at 5 px, magnified to 10 px.
            "linearity": measured displacement of motions of 0.05 to 1 px magnified 1 to 80 times, up to 20 px; needs
            OpenCV (extra "measure").
        photos: Folder of photos that were not trained on, such as the 24 of the Kodak set; the other tests are textured
            with them too.
        samples: Scenes per level of the subpixel, noise and linearity tests; 1,000 in the published ones.
        pairs: Pairs of each validation set; fewer than 64 make it another set.
        size: Side of the frames in pixels; other than 384 makes other sets.
        lpips: Network of LPIPS, or "off".
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        out: Folder for evaluation.json, a CSV per protocol, and evaluation.html.

    Raises:
        InputError: An argument is wrong.
    """
    weights = list(SHIPPED) if weights is None else weights
    protocols = list(get_args(Protocol)) if protocols is None else protocols
    _check(weights, protocols, samples, pairs, size, lpips if "pairs" in protocols else "off")
    require_writable(out, "--out", folder=True)
    place = pick_device(device)
    if "linearity" in protocols:
        require_opencv()
    found = methods(weights, place)
    say = Console(file=sys.stderr, highlight=False, soft_wrap=True).print
    tables: dict[str, Any] = {}
    # Both are set up before anything is measured: a folder that is missing is found at once.
    data = {"procedural": sets.validation_set(None, pairs, size)}
    if photos is not None:
        data["photos"] = sets.validation_set(photos, pairs, size)
    scorer = Scorer(lpips) if "pairs" in protocols else None
    if scorer:
        for name, one in data.items():
            say(f"{name} validation set: {len(found)} methods on {pairs} pairs of {size} px")
            tables[name] = {
                "identity": one.validation_identity(),
                "definitions": definitions(scorer.lpips),
                "absent": scorer.absent,
                "methods": score(found, sets.batches(one, place), scorer),
            }
    curves: dict[str, list[dict[str, Any]]] = {}
    sampler, bank = list(data.values())[-1].validation_scenes()
    bank = bank.to(place)

    def curve(name: str, points: list[levels.Level], protocol: Callable[..., list[dict[str, Any]]]) -> None:
        say(f"{name}: {len(found)} methods at {len(points)} levels, {samples} scenes each")
        curves[name] = protocol(found, points, sampler, bank, samples)

    if "subpixel" in protocols:
        curve("subpixel", levels.subpixel_levels(), levels.curve)
    if "noise" in protocols:
        for motion in levels.NOISE_MOTIONS:
            curve(f"noise_{motion:g}px", levels.noise_levels(motion), levels.curve)
    if "linearity" in protocols:
        curve("linearity", linearity_levels(), linearity)
    result = {
        "weights": {source: tensors_digest(read_magnifier(source)[1]) for source in weights},
        "sets": tables,
        "curves": curves,
        "settings": {"samples": samples, "size": size, "textures": "photos" if photos else "procedural"},
        "definitions": definitions(scorer.lpips if scorer else "off"),
        "hardware": {
            "device": torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu",
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "precision": "float32",
        },
        "versions": package_versions(),
        "commit": git_commit(),
    }
    print_tables(result)
    for path in write(result, out):
        print(f"wrote {path}")


def _check(weights: list[str], protocols: list[Protocol], samples: int, pairs: int, size: int, lpips: LpipsNet) -> None:
    if not weights:
        raise InputError(f"weights is empty: must be one or more of {', '.join(SHIPPED)} or paths")
    if not protocols or len(set(protocols)) < len(protocols):
        raise InputError(f"protocols = {protocols}: must be one or more of {', '.join(get_args(Protocol))}, each once")
    for name, value, low in (("samples", samples, 1), ("pairs", pairs, 1), ("size", size, SSIM_MIN_SIZE)):
        if value < low:
            raise InputError(f"{name} = {value}: must be >= {low}")
    if lpips != "off" and size < LPIPS_MIN_SIZE[lpips]:
        raise InputError(f"size = {size}: must be >= {LPIPS_MIN_SIZE[lpips]} for LPIPS of {lpips}, or --lpips off")
