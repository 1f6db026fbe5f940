"""The ``evaluate`` command: runs protocols on methods and writes tables, curves, pictures and a page."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from lightning_mm.errors import InputError
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.methods import FRAME_B, LINEAR, ClassicalName, methods
from lightning_mm.evaluation.printing import print_records
from lightning_mm.evaluation.protocol import Bench, Grid, Options, Record
from lightning_mm.evaluation.protocols import PROTOCOLS, ProtocolName
from lightning_mm.evaluation.recorded import judged_runs, record_in_runs
from lightning_mm.evaluation.writing import RESULT_FILE, plain, write
from lightning_mm.machine import hardware, pick_device
from lightning_mm.measuring.tracking import require_opencv
from lightning_mm.metrics import LPIPS_MIN_SIZE, SSIM_MIN_SIZE, LpipsNet, definitions
from lightning_mm.runs import git_commit, package_versions, require_writable
from lightning_mm.weights import SHIPPED, read_magnifier
from lightning_mm.weights.file import tensors_digest


def evaluate(
    weights: list[str] | None = None,
    protocols: list[ProtocolName] | None = None,
    photos: Path | None = None,
    samples: int = 16,
    pairs: int = sets.PAIRS,
    size: int = sets.SIZE,
    lpips: LpipsNet = "squeeze",
    grid: Grid = "published",
    border: int = 0,
    clips: int = 2,
    focal_length: float = 10.0,
    footage: Path | None = None,
    footage_fps: float | None = None,
    footage_frequency: float | None = None,
    footage_roi: str | None = None,
    footage_alpha: float = 10.0,
    footage_frames: int = 128,
    stored: Path | None = None,
    stored_alpha: float | None = None,
    classical: list[ClassicalName] | None = None,
    device: str = "auto",
    out: Path = Path("runs/evaluation"),
) -> None:
    """Judge weights by fixed protocols, beside "return frame B" and classical methods.

    Where weights are a checkpoint in the directory of its run, the run's results.json gets a summary too.

    Args:
        weights: Names of weights that ship, weights files or checkpoints; all that ship when left out.
        protocols: Some of these; when left out, all that there is input for. "pairs": SSIM, PSNR and LPIPS on the fixed
            validation sets, procedural and, where photos are given, photo-based. "subpixel": SSIM over motions of 0.04
            to 1 px, each magnified to 10 px. "noise": SSIM over 21 noise factors at 0.05 px and at 5 px, magnified to
            10 px. "linearity": tracked displacement up to 80 times that of the input, in clips and in pairs.
            "modes", only when named: tracked amplitude in static, dynamic and temporal modes. "vibration": amplitude,
            frequency, phase and distortion of a vibration known in mm. "impulse": kernels of the shape encoder and the
            classical filters they resemble. "copying": whether outputs are copies of the input. "footage": a real
            clip's known frequency before and after. "stored": SSIM on stored pairs.
            Linearity, vibration and footage need OpenCV (extra "measure").
        photos: Folder of photos that were not trained on, such as the 24 of the Kodak set; the other tests are textured
            with them too.
        samples: Scenes per level of the subpixel, noise, copying and linearity tests, and at most so many pairs per
            mode of stored ones; 1,000 in the published ones.
        pairs: Pairs of each validation set; fewer than 64 make it another set.
        size: Side of the frames in pixels; other than 384 makes other sets.
        lpips: Network of LPIPS, or "off".
        grid: Motions of the subpixel test: "published", 15 from 0.04 px; or "wide", 21 from 0.01 px.
        border: Pixels at each side that SSIM of the subpixel and noise tests leaves out; published ones leave out 3.
        clips: Clips of the vibration test and of the linearity test, each with another texture.
        focal_length: Of the vibration test's lens in mm: 10 makes an input of 0.22 px and an output of 4.4 px; the
            paper's 100 makes 2.2 px and 44 px, beyond what networks are trained for.
        footage: A real clip of a vibration, a video file or a folder of images.
        footage_fps: Rate at which it was filmed, in frames per second, whatever the file says.
        footage_frequency: Frequency of the vibration in Hz.
        footage_roi: Region to measure as X,Y,WIDTH,HEIGHT in pixels; the whole frame when left out.
        footage_alpha: Total motion factor to magnify it by.
        footage_frames: Frames to take from its start.
        stored: Folder of stored pairs, FOLDER/TEST/modeNN/*A.png, *B.png and *Y.png, as the axial model's release has.
        stored_alpha: Total motion factor of all stored pairs instead of the release's: 10 px over the motion of each
            mode of "subpixel", 200 in "noise005".
        classical: Methods without training to judge beside the weights: "linear" (Eulerian; Wu et al., 2012), "phase"
            (phase-based; Wadhwa et al., 2013) and "riesz" (Riesz pyramid; Wadhwa et al., 2014); "linear" when left out.
            Each is patented in some countries.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        out: Folder for evaluation.json, a CSV per table, pictures, and evaluation.html.

    Raises:
        InputError: An argument is wrong.
    """
    given = {key: value for key, value in locals().items() if key in Options.__dataclass_fields__}
    say = Console(file=sys.stderr, highlight=False, soft_wrap=True).print
    result, records = judge(weights, protocols, Options(**given), device, out, say, classical)
    print_records(records, result["definitions"])
    for path in result["files"]:
        print(f"wrote {path}")


def run_protocols(
    weights: list[str] | None = None,
    protocols: list[ProtocolName] | None = None,
    options: Options = Options(),  # noqa: B008  (frozen)
    device: str = "auto",
    out: Path | None = None,
    say: Callable[[str], object] = lambda text: None,
    classical: Sequence[ClassicalName] | None = None,
) -> dict[str, Any]:
    """What ``evaluate`` does, without printing.

    Args:
        weights: As of ``evaluate``.
        protocols: As of ``evaluate``.
        options: Settings.
        device: As of ``evaluate``.
        out: Folder for the files; none are written when left out.
        say: Told what is being done.
        classical: As of ``evaluate``.

    Returns:
        Plain JSON: "protocols", by name each with "settings", "summary" (by method), "left_out", "tables" (rows by
        name) and "pictures"; "methods", "weights" (digests), "settings", "definitions", "hardware", "versions",
        "commit"; and "files", paths as text.

    Raises:
        InputError: An argument is wrong; nothing has been written then.
    """
    return judge(weights, protocols, options, device, out, say, classical)[0]


def judged_before(out: Path, weights: list[str], options: Options) -> dict[str, Any] | None:
    """What ``run_protocols`` has left in a folder, where it was of the same methods with the same settings."""
    try:
        found = json.loads((out / RESULT_FILE).read_text(encoding="utf-8"))
        same = (
            found["weights"] == _digests(weights)
            and found["methods"] == [*weights, FRAME_B, LINEAR]
            and found["settings"] == json.loads(json.dumps(_told(options)))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same else None


def judge(
    weights: list[str] | None,
    protocols: list[ProtocolName] | None,
    options: Options,
    device: str,
    out: Path | None,
    say: Callable[[str], object],
    classical: Sequence[ClassicalName] | None,
) -> tuple[dict[str, Any], dict[str, Record]]:
    """``run_protocols`` with the records by protocol, which hold pictures and tables of text too."""
    weights = list(SHIPPED) if weights is None else weights
    chosen = _chosen(protocols, options, say)
    _check(weights, chosen, options)
    if out is not None:
        require_writable(out, "--out", folder=True)
    place = pick_device(device)
    for name in chosen:
        if PROTOCOLS[name].tracks:
            require_opencv()
        if (check := PROTOCOLS[name].check) is not None:
            check(options)
    runs = judged_runs(weights)
    found = methods(weights, place, ("linear",) if classical is None else classical)
    # Set up before anything is measured: a folder that is missing is found at once.
    data = {"procedural": sets.validation_set(None, options.pairs, options.size)}
    if options.photos is not None:
        data["photos"] = sets.validation_set(options.photos, options.pairs, options.size)
    bench = Bench(found, place, options, data, say)
    records = {name: PROTOCOLS[name].run(bench) for name in chosen}
    result: dict[str, Any] = {
        "methods": list(found),
        "weights": _digests(weights),
        "protocols": {name: plain(record) for name, record in records.items()},
        "settings": _told(options),
        "definitions": definitions(),
        "hardware": {**hardware(place), "precision": "float32"},
        "versions": package_versions(),
        "commit": git_commit(),
    }
    if "pairs" in records:
        result["definitions"] = records["pairs"].settings["definitions"]
    written = [] if out is None else write(result, records, out)
    written += record_in_runs(runs, records)
    return {**result, "files": [str(path) for path in written]}, records


def _digests(weights: list[str]) -> dict[str, str]:
    return {source: tensors_digest(read_magnifier(source)[1]) for source in weights}


def _told(options: Options) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()}


def _chosen(protocols: list[ProtocolName] | None, options: Options, say: Callable[[str], object]) -> list[ProtocolName]:
    """The protocols to run, in the table's order."""
    given: dict[ProtocolName, bool] = {
        name: getattr(options, p.option) is not None for name, p in PROTOCOLS.items() if p.option is not None
    }
    if protocols is None:
        chosen: list[ProtocolName] = [name for name, p in PROTOCOLS.items() if given.get(name, p.default)]
        try:
            require_opencv()
        except InputError as error:
            left = {name for name in chosen if PROTOCOLS[name].tracks and not given.get(name)}
            say(f"left out {', '.join(sorted(left))}: {error}")
            return [name for name in chosen if name not in left]
        return chosen
    if not protocols or len(set(protocols)) < len(protocols) or not set(protocols) <= PROTOCOLS.keys():
        accepted = ", ".join(get_args(ProtocolName))
        raise InputError(f"protocols = {protocols}: must be one or more of {accepted}, each once")
    for name, is_given in given.items():
        if is_given and name not in protocols:
            raise InputError(f"{name} = {getattr(options, name)}: '{name}' is not among the protocols {protocols}")
    return [name for name in PROTOCOLS if name in protocols]


def _check(weights: list[str], protocols: list[ProtocolName], options: Options) -> None:
    if not weights:
        raise InputError(f"weights is empty: must be one or more of {', '.join(SHIPPED)} or paths")
    smallest = SSIM_MIN_SIZE + 2 * options.border
    limits = {"samples": 1, "pairs": 1, "border": 0, "size": smallest, "clips": 1}
    for name, low in limits.items():
        if getattr(options, name) < low:
            raise InputError(f"{name} = {getattr(options, name)}: must be >= {low}")
    if not (math.isfinite(options.focal_length) and options.focal_length > 0.0):
        raise InputError(f"focal_length = {options.focal_length}: must be a number of mm > 0")
    for option in (protocol.option for protocol in PROTOCOLS.values()):
        if option is not None and getattr(options, option) is None:
            for name, value in asdict(options).items():
                if name.startswith(f"{option}_") and value != getattr(Options, name):
                    raise InputError(f"{name} = {value}: needs --{option}")
    lpips = options.lpips if "pairs" in protocols else "off"
    if lpips != "off" and options.size < LPIPS_MIN_SIZE[lpips]:
        accepted = f"must be >= {LPIPS_MIN_SIZE[lpips]} for LPIPS of {lpips}, or --lpips off"
        raise InputError(f"size = {options.size}: {accepted}")
