"""The command table of ``lightning-mm``. Bad input ends in one line and exit code 2, an interruption in 75."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from lightning_mm import __version__
from lightning_mm.errors import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    InputError,
    Interrupted,
    TrainingDivergedError,
    one_line,
)


def main(args: list[str]) -> int:
    """Run one command.

    Args:
        args: Arguments behind the program's name.

    Returns:
        Exit code: 0 done, 1 training diverged, 2 bad input, 75 interrupted but resumable.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # of Lightning 2.6.6 on torch >= 2.11; nothing to act on
    if not args or args[0] in ("-h", "--help"):
        print(_overview())
        return 0 if args else EXIT_BAD_INPUT
    if args[0] == "--version":
        print(f"lightning_mm {__version__}")
        return 0
    name, rest = args[0], args[1:]
    if name not in COMMANDS:
        return _fail(f"no command '{name}'; there are {', '.join(COMMANDS)}")
    try:
        COMMANDS[name](rest)
    except InputError as error:
        message, code = f"error: {error}", EXIT_BAD_INPUT
    except Interrupted as error:
        message, code = str(error), EXIT_INTERRUPTED
    except TrainingDivergedError as error:
        message, code = f"training diverged: {error}", EXIT_FAILED
    except KeyboardInterrupt:
        message, code = "interrupted", EXIT_INTERRUPTED
    else:
        return 0
    # Of the processes that train together, the first of each node speaks.
    if name != "fit" or os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0":
        print(f"lightning-mm: {message}", file=sys.stderr)
    return code


def run() -> None:
    """Entry point of the installed command."""
    sys.exit(main(sys.argv[1:]))


def fit(args: list[str]) -> None:
    """Train a magnifier, or continue a run."""
    from lightning.pytorch.utilities import rank_zero_only

    from lightning_mm.training import fit

    results = fit(args)
    say = rank_zero_only(print)
    where = Path(results.config["run"]["dir"])
    floor = results.floors["frame_b"]["ssim"]
    say(f"SSIM {results.metrics['ssim']:.4f} (returning frame B: {floor:.4f}) after {results.budget['steps']} steps")
    say(f"wrote {where / 'results.json'}, {where / 'samples.png'}, {where / 'checkpoints'}")


def prune(args: list[str]) -> None:
    """Learn which components of a trained magnifier can go, cut them, fine-tune."""
    from lightning_mm.removal.prune import prune
    from lightning_mm.removal.record import Removal

    results = prune(args)
    where = Path(results.config["run"]["dir"])
    removal = Removal.read(where)
    print(f"{removal.description} (mark: {removal.mark})")
    for name, unit in (("params", 1e3), ("paper_flops", 1e9)):
        before, after = (cost[name] / unit for cost in (removal.before, removal.after))
        print(f"{name} {before:.3f} to {after:.3f} {'K' if unit == 1e3 else 'G'}")
    ssim, steps = results.metrics["ssim"], results.budget["steps"]
    print(f"SSIM {ssim:.4f} after {removal.steps} steps with switches and {steps} of fine-tuning")
    print(f"wrote {where / 'results.json'}, {where / 'removal.json'}, {where / 'removal.html'}")


def validate(args: list[str]) -> None:
    """Measure weights on the validation pairs."""
    _evaluate(args, "validate")


def test(args: list[str]) -> None:
    """As validate, beside methods that need no training: returning frame B, linear Eulerian."""
    _evaluate(args, "test")


def magnify(args: list[str]) -> None:
    """Magnify the motion in a clip or a folder of images."""
    from lightning_mm.video.magnify import magnify

    _call(magnify, "magnify", args)


def weights(args: list[str]) -> None:
    """Say what weights are, or list those that ship."""
    from lightning_mm.weights.describe import weights

    weights(args)


def convert(args: list[str]) -> None:
    """Turn a checkpoint of the PyTorch port of Oh et al. (2018) into weights."""
    from lightning_mm.weights.convert import convert

    _call(convert, "convert", args)


def measure(args: list[str]) -> None:
    """Measure the motion of a region: peak-to-peak, frequency."""
    from lightning_mm.video.measuring import measure

    _call(measure, "measure", args)


def evaluate(args: list[str]) -> None:
    """Judge weights by fixed protocols: validation sets, subpixel and noise tests."""
    from lightning_mm.evaluation.command import evaluate

    _call(evaluate, "evaluate", args)


def release(args: list[str]) -> None:
    """Train the weights that ship a stretch further, measure and write them."""
    from lightning_mm.release.command import release

    _call(release, "release", args)


def sweep(args: list[str]) -> None:
    """Search architectures and write a report; 'sweep worker' joins a search, 'sweep promote' takes a model out."""
    from lightning_mm.search.command import sweep, worker

    if args[:1] == ["worker"]:
        _call(worker, "sweep worker", args[1:])
    elif args[:1] == ["promote"]:
        from lightning_mm.search.promote import promote

        _call(promote, "sweep promote", args[1:])
    else:
        directory = _call(sweep, "sweep", args)
        report([str(directory)])


def nas(args: list[str]) -> None:
    """Search with shared weights; 'nas appendix' reproduces the paper's NAS appendix."""
    _subcommand("nas", NAS, args)


def superres(args: list[str]) -> None:
    """Try the removal of blocks on a super-resolution network, as the paper's Table A1."""
    from lightning_mm.superres.command import superres

    print(_call(superres, "superres", args))


def reproduce(args: list[str]) -> None:
    """Train what a table of the paper needs, and write its numbers beside ours."""
    from lightning_mm.reproduction.command import Reproduction, reproduce

    made = _call(reproduce, "reproduce", args)
    assert isinstance(made, Reproduction)
    from lightning_mm.reporting.reproduction.page import text, write_reproduction
    from lightning_mm.reporting.reproduction.rows import table_of

    page = write_reproduction(made)
    print(text(table_of(made)))
    print(f"Report: {page}")


def benchmark(args: list[str]) -> None:
    """Measure speed: frames per second at several resolutions, a training and its parts."""
    _subcommand("benchmark", BENCHMARKS, args)


def report(args: list[str]) -> None:
    """Print a table of runs and write an HTML page."""
    from lightning_mm.reporting.report import report

    _call(report, "report", args)


def threshold(args: list[str]) -> None:
    """Calibrate the SSIM of visual acceptability from ratings, or anchor the paper's on other pairs."""
    _subcommand("threshold", THRESHOLD, args)


def publish(args: list[str]) -> None:
    """Upload runs that were kept offline to Weights & Biases, with a workspace."""
    from lightning_mm.tracking.publish import publish

    _call(publish, "publish", args)


def _benchmark_train(args: list[str]) -> None:
    """Training: the whole step, each of its parts, the renderer, and a loader of PNG files beside it."""
    from lightning_mm.benchmarking.command import train

    train(args)


def _benchmark_frames(args: list[str]) -> None:
    """Frames per second at several resolutions, networks in turns, and the largest one in real time."""
    from lightning_mm.benchmarking.command import frames

    _call(frames, "benchmark frames", args)


def _threshold_fit(args: list[str]) -> None:
    """Fit people's ratings and find the SSIM at which they call the similarity adequate."""
    from lightning_mm.calibration.fit import fit

    _call(fit, "threshold fit", args)


def _threshold_anchor(args: list[str]) -> None:
    """Carry the paper's 0.966 over to our validation pairs, by widths of the baseline trained on them."""
    from lightning_mm.calibration.anchoring import anchor_threshold

    anchor_threshold(args)


def _nas_appendix(args: list[str]) -> None:
    """Reproduce the paper's NAS appendix: search, train what was found from scratch, write a page."""
    from lightning_mm.nas.command import appendix
    from lightning_mm.reporting.nas.appendix import write_appendix

    directory = _call(appendix, "nas appendix", args)
    assert isinstance(directory, Path)
    print(f"Report: {write_appendix(directory)}")


def _nas_race(args: list[str]) -> None:
    """Search one space in several ways on equal device seconds, try the winner, write a page."""
    from lightning_mm.nas.command import race
    from lightning_mm.reporting.nas.race import write_race

    directory = _call(race, "nas race", args)
    assert isinstance(directory, Path)
    print(f"Report: {write_race(directory)}")


def _nas_replay(args: list[str]) -> None:
    """Replay samplers on a table of measured networks, with many seeds."""
    from lightning_mm.nas.command import replay

    print(_call(replay, "nas replay", args))


def _nas_stability(args: list[str]) -> None:
    """Find out which setting makes a supernet diverge."""
    from lightning_mm.nas.command import stability

    print(f"Table: {_call(stability, 'nas stability', args)}")


NAS: dict[str, Callable[[list[str]], None]] = {
    "appendix": _nas_appendix,
    "race": _nas_race,
    "replay": _nas_replay,
    "stability": _nas_stability,
}

BENCHMARKS: dict[str, Callable[[list[str]], None]] = {"train": _benchmark_train, "frames": _benchmark_frames}

THRESHOLD: dict[str, Callable[[list[str]], None]] = {"fit": _threshold_fit, "anchor": _threshold_anchor}

COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "fit": fit,
    "prune": prune,
    "validate": validate,
    "test": test,
    "magnify": magnify,
    "weights": weights,
    "convert": convert,
    "measure": measure,
    "evaluate": evaluate,
    "release": release,
    "sweep": sweep,
    "nas": nas,
    "reproduce": reproduce,
    "report": report,
    "threshold": threshold,
    "publish": publish,
    "superres": superres,
    "benchmark": benchmark,
}


def _evaluate(args: list[str], command: Literal["validate", "test"]) -> None:
    from lightning_mm.training import evaluate

    metrics, task, data = evaluate(args, command)
    for name, value in sorted(metrics.items()):
        print(f"{name:24s} {value:.4f}")
    for name, reason in task.absent.items():
        print(f"{name:24s} absent: {reason}")
    for name, text in task.metric_definitions().items():
        print(f"{name}: {text}")
    pairs = data.validation_identity()
    print(f"on {pairs['pairs']} pairs of {pairs['height']} x {pairs['width']} ({pairs['name']}, {pairs['digest']})")


def _subcommand(name: str, commands: dict[str, Callable[[list[str]], None]], args: list[str]) -> None:
    """Run the one of several commands that the first argument names, or explain them."""
    accepted = f"must be one of: {', '.join(commands)}"
    if not args:
        raise InputError(f"{name}: not said what to do; {accepted}")
    if args[0] in ("-h", "--help"):
        print(f"usage: lightning-mm {name} WHAT [OPTIONS]\n\nWHAT, whose --help explains it, is one of\n")
        for what, command in commands.items():
            print(f"  {what:10s} {(command.__doc__ or '').splitlines()[0]}")
        return
    if args[0] not in commands:
        raise InputError(f"{name} '{args[0]}': {accepted}")
    commands[args[0]](args[1:])


def _call(function: Callable, name: str, args: list[str]) -> object:
    """Parse arguments by a function's signature and docstring, strictly, and call it."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(
        prog=f"lightning-mm {name}",
        description=(function.__doc__ or "").split("Args:")[0],
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_function_arguments(function, as_positional=True)
    try:
        options = parser.parse_args(args)
    except ArgumentError as error:
        raise InputError(one_line(error)) from None
    return function(**vars(parser.instantiate(options)))


def _overview() -> str:
    lines = [f"lightning_mm {__version__}: learning-based video motion magnification", ""]
    lines += ["usage: lightning-mm COMMAND [OPTIONS]   (lightning-mm COMMAND --help explains its options)", ""]
    lines += [f"  {name:10s} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(lines)


def _fail(message: str) -> int:
    print(f"lightning-mm: error: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT
