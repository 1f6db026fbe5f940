"""The ``benchmark`` command: its first argument says what is measured."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from lightning_mm.errors import InputError, one_line
from lightning_mm.runs import require_writable, write_text_atomically

REPEATS = 5


def benchmark(args: list[str]) -> None:
    """Measure the speed of something.

    Args:
        args: Command-line arguments: what to measure, then its options.

    Raises:
        InputError: The arguments are wrong.
    """
    if args and args[0] in ("-h", "--help"):
        print(
            "usage: lightning-mm benchmark WHAT [OPTIONS]\n\nMeasure speed. WHAT, whose --help explains it, is one of\n"
        )
        for name, command in BENCHMARKS.items():
            print(f"  {name:10s} {(command.__doc__ or '').splitlines()[0]}")
        return
    accepted = f"must be one of: {', '.join(BENCHMARKS)}"
    if not args:
        raise InputError(f"benchmark: not said what to measure; {accepted}")
    if args[0] not in BENCHMARKS:
        raise InputError(f"benchmark '{args[0]}': {accepted}")
    BENCHMARKS[args[0]](args[1:])


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
        try:
            write_text_atomically(options.json, json.dumps(speed.to_dict(), indent=2, allow_nan=False) + "\n")
        except OSError as error:
            raise InputError(f"--json {options.json}: cannot be written ({error.strerror})") from None
        print(f"wrote {options.json}")


BENCHMARKS: dict[str, Callable[[list[str]], None]] = {"train": train}


def _say(doing: str) -> None:
    if sys.stderr.isatty():
        print(f"benchmark: {doing}", file=sys.stderr, flush=True)
