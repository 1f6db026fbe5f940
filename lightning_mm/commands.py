"""The commands of ``lightning-mm``: each imports what it needs when it is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from lightning_mm.arguments import call, subcommand


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
    from lightning_mm.errors import PartialInputError
    from lightning_mm.magnification.command import Magnified, magnify

    done = call(magnify, "magnify", args)
    assert isinstance(done, Magnified)
    if done.partial:
        raise PartialInputError(f"{done.output} holds the part of the input that could be read")


def live(args: list[str]) -> None:
    """Magnify a camera, a stream or a file while it is watched in the browser."""
    from lightning_mm.live.command import live

    call(live, "live", args)


def demo(args: list[str]) -> None:
    """Open a page to magnify clips on: upload, spectrum, band, result side by side."""
    from lightning_mm.demo.command import demo

    call(demo, "demo", args)


def weights(args: list[str]) -> None:
    """Say what weights are, or list those that ship."""
    from lightning_mm.weights.describe import weights

    weights(args)


def convert(args: list[str]) -> None:
    """Turn a checkpoint of the PyTorch port of Oh et al. (2018) into weights."""
    from lightning_mm.weights.convert import convert

    call(convert, "convert", args)


def measure(args: list[str]) -> None:
    """Measure motion: displacement, frequencies, the band to magnify, the magnification reached."""
    from lightning_mm.errors import PartialInputError
    from lightning_mm.measuring.command import measure
    from lightning_mm.measuring.findings import Findings

    found = call(measure, "measure", args)
    assert isinstance(found, Findings)
    if found.partial:
        raise PartialInputError(f"{found.source} was measured as far as it could be read")


def evaluate(args: list[str]) -> None:
    """Judge weights by fixed protocols: validation sets, subpixel and noise tests."""
    from lightning_mm.evaluation.command import evaluate

    call(evaluate, "evaluate", args)


def release(args: list[str]) -> None:
    """Train the weights that ship a stretch further, measure and write them."""
    from lightning_mm.release.command import release

    call(release, "release", args)


def sweep(args: list[str]) -> None:
    """Search architectures and write a report; 'sweep worker' joins a search, 'sweep promote' takes a model out."""
    from lightning_mm.search.command import sweep, worker

    if args[:1] == ["worker"]:
        call(worker, "sweep worker", args[1:])
    elif args[:1] == ["promote"]:
        from lightning_mm.search.promote import promote

        call(promote, "sweep promote", args[1:])
    else:
        directory = call(sweep, "sweep", args)
        report([str(directory)])


def nas(args: list[str]) -> None:
    """Search with shared weights; 'nas appendix' reproduces the paper's NAS appendix."""
    subcommand("nas", NAS, args)


def superres(args: list[str]) -> None:
    """Try the removal of blocks on a super-resolution network, as the paper's Table A1."""
    from lightning_mm.superres.command import superres

    print(call(superres, "superres", args))


def reproduce(args: list[str]) -> None:
    """Train what a table of the paper needs, and write its numbers beside ours."""
    from lightning_mm.reproduction.command import Reproduction, reproduce

    made = call(reproduce, "reproduce", args)
    assert isinstance(made, Reproduction)
    from lightning_mm.reporting.reproduction.page import write_reproduction

    page = write_reproduction(made)
    print(page.with_suffix(".md").read_text(encoding="utf-8"))
    print(f"Report: {page}")


def benchmark(args: list[str]) -> None:
    """Measure speed: frames per second at several resolutions, a training and its parts."""
    subcommand("benchmark", BENCHMARKS, args)


def report(args: list[str]) -> None:
    """Print a table of runs and write an HTML page."""
    from lightning_mm.reporting.report import report

    call(report, "report", args)


def threshold(args: list[str]) -> None:
    """Calibrate the SSIM of visual acceptability from ratings, or anchor the paper's on other pairs."""
    subcommand("threshold", THRESHOLD, args)


def publish(args: list[str]) -> None:
    """Upload runs that were kept offline to Weights & Biases, with a workspace."""
    from lightning_mm.tracking.publish import publish

    call(publish, "publish", args)


def _benchmark_train(args: list[str]) -> None:
    """Training: the whole step, each of its parts, the renderer, and a loader of PNG files beside it."""
    from lightning_mm.benchmarking.command import train

    train(args)


def _benchmark_frames(args: list[str]) -> None:
    """Frames per second at several resolutions, networks in turns, and the largest one in real time."""
    from lightning_mm.benchmarking.command import frames

    call(frames, "benchmark frames", args)


def _benchmark_video(args: list[str]) -> None:
    """Video on several backends: the network alone, from file to file, and memory."""
    from lightning_mm.benchmarking.command import video

    call(video, "benchmark video", args)


def _threshold_fit(args: list[str]) -> None:
    """Fit people's ratings and find the SSIM at which they call the similarity adequate."""
    from lightning_mm.calibration.fit import fit

    call(fit, "threshold fit", args)


def _threshold_anchor(args: list[str]) -> None:
    """Carry the paper's 0.966 over to our validation pairs, by widths of the baseline trained on them."""
    from lightning_mm.calibration.anchoring import anchor_threshold

    anchor_threshold(args)


def _nas_appendix(args: list[str]) -> None:
    """Reproduce the paper's NAS appendix: search, train what was found from scratch, write a page."""
    from lightning_mm.nas.command import appendix
    from lightning_mm.reporting.nas.appendix import write_appendix

    directory = call(appendix, "nas appendix", args)
    assert isinstance(directory, Path)
    print(f"Report: {write_appendix(directory)}")


def _nas_race(args: list[str]) -> None:
    """Search one space in several ways on equal device seconds, try the winner, write a page."""
    from lightning_mm.nas.command import race
    from lightning_mm.reporting.nas.race import write_race

    directory = call(race, "nas race", args)
    assert isinstance(directory, Path)
    print(f"Report: {write_race(directory)}")


def _nas_replay(args: list[str]) -> None:
    """Replay samplers on a table of measured networks, with many seeds."""
    from lightning_mm.nas.command import replay

    print(call(replay, "nas replay", args))


def _nas_stability(args: list[str]) -> None:
    """Find out which setting makes a supernet diverge."""
    from lightning_mm.nas.command import stability

    print(f"Table: {call(stability, 'nas stability', args)}")


NAS: dict[str, Callable[[list[str]], None]] = {
    "appendix": _nas_appendix,
    "race": _nas_race,
    "replay": _nas_replay,
    "stability": _nas_stability,
}

BENCHMARKS: dict[str, Callable[[list[str]], None]] = {
    "train": _benchmark_train,
    "frames": _benchmark_frames,
    "video": _benchmark_video,
}

THRESHOLD: dict[str, Callable[[list[str]], None]] = {"fit": _threshold_fit, "anchor": _threshold_anchor}

COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "fit": fit,
    "prune": prune,
    "validate": validate,
    "test": test,
    "magnify": magnify,
    "live": live,
    "demo": demo,
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
