"""The commands ``benchmark train``, ``benchmark frames`` and ``benchmark video``."""

import argparse
import json
import math
import sys
from pathlib import Path

from lightning_mm.benchmarking.frames import Precision
from lightning_mm.errors import InputError, one_line
from lightning_mm.runs import require_writable, write_text_atomically

REPEATS = 5


def train(args: list[str]) -> None:
    """Training: the whole step, each of its parts, the renderer, and a loader of PNG files beside it.

    Args:
        args: ``--repeats``, ``--json`` and the options of ``fit``.

    Raises:
        InputError: An option or the configuration is wrong, or the file cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="lightning-mm benchmark train",
        usage="%(prog)s [--repeats N] [--json FILE] [OPTIONS OF FIT]",
        description="Measure the speed of a training on one device, configured as for 'lightning-mm fit', whose --help "
        "lists the other options. No weights are changed, and nothing is written but FILE.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument(
        "--repeats", type=int, default=REPEATS, metavar="N", help=f"times to measure everything (default: {REPEATS})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write everything to, raw repeats included")
    try:
        options, of_fit = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise InputError(f"benchmark train: {one_line(error)}") from None
    if options.repeats < 1:
        raise InputError(f"--repeats {options.repeats}: must be >= 1")
    if options.json is not None:
        require_writable(options.json, "--json")

    from lightning_mm.benchmarking.printing import print_speed
    from lightning_mm.benchmarking.train import measure_training

    speed = measure_training(of_fit, options.repeats, _say)
    print_speed(speed)
    if options.json is not None:
        _write(options.json, "json", json.dumps(speed.to_dict(), indent=2, allow_nan=False) + "\n")


def frames(
    weights: list[str] | None = None,
    resolutions: list[str] | None = None,
    seconds: float = 20.0,
    precision: Precision = "float32",
    channels_last: bool = True,
    compile: bool = False,
    threads: int | None = None,
    device: str = "auto",
    json: Path | None = None,
    csv: Path | None = None,
    markdown: Path | None = None,
) -> None:
    """Measure frames per second at several resolutions, networks in turns, and the largest one in real time.

    Batch 1, in the steady state of a video (one encoder pass per frame) and with two encoder passes; reading,
    converting and writing frames are not part of it. A network that is too slow for a resolution is left out there and
    at larger ones, with the reason.

    Args:
        weights: Names of weights that ship, weights files or checkpoints; proposed and baseline when left out. Ratios
            are to the baseline, or to the last where it is not among them.
        resolutions: Some of 240p, 360p, 480p, 540p, 720p, 1080p, 1440p and 2160p (16:9), or WIDTHxHEIGHT; all these
            when left out.
        seconds: Time for each network, number of encodes and resolution, warm-up not counted. What does not do three
            frames in it is left out.
        precision: Of the decoder; encoder and manipulator always compute in exact float32, where half precision and
            TF32 would lose small motion.
        channels_last: Memory format of weights and frames, as magnify uses it.
        compile: Compile the networks with torch.compile, anew for each resolution.
        threads: Threads of the processor; torch's own choice when left out.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        json: File to write everything to, each round included.
        csv: File for one line per network, number of encodes and resolution.
        markdown: File for the tables.

    Raises:
        InputError: An argument is wrong, weights cannot be loaded, or a file cannot be written.
    """
    from lightning_mm.benchmarking.frames import measure_frames
    from lightning_mm.benchmarking.frames_writing import csv_text, json_text, markdown_text, print_frames
    from lightning_mm.benchmarking.resolutions import STANDARD, parse_resolutions
    from lightning_mm.machine import pick_device

    weights = ["proposed", "baseline"] if weights is None else weights
    if not weights or len(set(weights)) < len(weights):
        raise InputError(f"weights = {weights}: must be one or more names or paths of weights, each once")
    sizes = list(STANDARD) if resolutions is None else parse_resolutions(resolutions)
    if not (math.isfinite(seconds) and seconds > 0.0):
        raise InputError(f"seconds = {seconds:g}: must be a number > 0")
    if threads is not None and threads < 1:
        raise InputError(f"threads = {threads}: must be >= 1")
    place = pick_device(device)
    if precision == "tf32" and place.type != "cuda":
        raise InputError("precision = tf32: needs a CUDA device, must be float32, bf16 or fp16 here")
    files = {"json": (json, json_text), "csv": (csv, csv_text), "markdown": (markdown, markdown_text)}
    for name, (path, _) in files.items():
        if path is not None:
            require_writable(path, f"--{name}")
    found = measure_frames(weights, sizes, place, seconds, precision, channels_last, compile, threads, _say)
    print_frames(found)
    for name, (path, text) in files.items():
        if path is not None:
            _write(path, name, text(found))


SETUPS = ("proposed", "proposed:eager:half", "baseline")
RESOLUTIONS = ("480x270", "540p", "720p", "1080p")


def video(
    setups: list[str] | None = None,
    resolutions: list[str] | None = None,
    reference: str = "baseline:plain",
    seconds: float = 20.0,
    frames: int = 32,
    threads: int | None = None,
    device: str = "auto",
    json: Path | None = None,
    markdown: Path | None = None,
) -> None:
    """Measure the magnification of video on several backends: the network alone, from file to file, and memory.

    The network alone is timed in turns beside a reference: the baseline in eager mode, as it was trained. From file to
    file, magnify runs in processes of its own on two clips, so that what is done once does not count, and so that it
    shows whether memory grows with a clip.

    Args:
        setups: WEIGHTS[:BACKEND[:PRECISION]] each, as of magnify, or with the backend plain for the network as it was
            trained; proposed, proposed:eager:half and baseline when left out.
        resolutions: Names as 540p, or WIDTHxHEIGHT; 480x270, 540p, 720p and 1080p when left out.
        reference: What ratios are to, as a setup.
        seconds: Time for each network alone at each resolution, warm-up not counted. What does not do three frames
            in it is left out.
        frames: Frames of the longer clip, at least 8; the shorter one has a quarter of them.
        threads: Threads of the processor; torch's own choice when left out.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        json: File to write everything to, each round included.
        markdown: File for the table.

    Raises:
        InputError: An argument is wrong, weights cannot be loaded, a backend is not here, or a file cannot be written.
    """
    from lightning_mm.benchmarking.resolutions import parse_resolutions
    from lightning_mm.benchmarking.video import Setup, measure_video
    from lightning_mm.benchmarking.video_writing import json_text, markdown_text
    from lightning_mm.machine import pick_device, with_threads

    wanted = [Setup.parse(text) for text in (SETUPS if setups is None else setups)]
    if not wanted or len(set(wanted)) < len(wanted):
        raise InputError(f"setups = {setups}: must be one or more, each once")
    sizes = parse_resolutions(RESOLUTIONS if resolutions is None else resolutions)
    if not (math.isfinite(seconds) and seconds > 0.0):
        raise InputError(f"seconds = {seconds:g}: must be a number > 0")
    if frames < 8:
        raise InputError(f"frames = {frames}: must be at least 8")
    files = {"json": (json, json_text), "markdown": (markdown, markdown_text)}
    for name, (path, _) in files.items():
        if path is not None:
            require_writable(path, f"--{name}")
    place = pick_device(device)
    with with_threads(threads):
        found = measure_video(wanted, Setup.parse(reference), sizes, place, seconds, frames, _say)
    print(markdown_text(found))
    for name, (path, text) in files.items():
        if path is not None:
            _write(path, name, text(found))


def _write(path: Path, option: str, text: str) -> None:
    try:
        write_text_atomically(path, text)
    except OSError as error:
        raise InputError(f"--{option} {path}: cannot be written ({error.strerror})") from None
    print(f"wrote {path}")


def _say(doing: str) -> None:
    if sys.stderr.isatty():
        print(f"benchmark: {doing}", file=sys.stderr, flush=True)
