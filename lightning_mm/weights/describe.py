"""The ``weights`` command: what a source of weights is, in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_mm.cost import cost
from lightning_mm.errors import InputError, one_line
from lightning_mm.models import MagnifierConfig
from lightning_mm.weights.checkpoint import checkpoint_magnifier, read_checkpoint
from lightning_mm.weights.file import read_weights, tensors_digest
from lightning_mm.weights.loading import ACCEPTED, SHIPPED, is_checkpoint, load_magnifier, locate

COLUMN = 14


def weights(args: list[str]) -> None:
    """Print what a source of weights is, or without one the table of those that ship.

    Args:
        args: Command-line arguments: nothing, or one source.

    Raises:
        InputError: The arguments are wrong, or the source cannot be loaded.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    about = "Say what weights are: architecture, cost, metrics, training, data, licence, digest."
    parser = ArgumentParser(prog="lightning-mm weights", description=about, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("source", type=str, nargs="?", help=f"One of {ACCEPTED}. Without it, those that ship.")
    try:
        source = parser.parse_args(args).source
    except ArgumentError as error:
        raise InputError(one_line(error)) from None
    # Everything is read before anything is printed.
    print("\n".join(list(shipped_table() if source is None else describe(source))))


def shipped_table() -> Iterator[str]:
    """Lines of a table of the weights that ship.

    Raises:
        InputError: One of them is missing or damaged.
    """
    yield f"{'name':{COLUMN}s}{'parameters':>12s}{'paper GFLOPs':>14s}{'MB':>7s}  what"
    for name in SHIPPED:
        path = locate(name)
        found, size = read_weights(path), path.stat().st_size / 1e6
        figures = cost(found.arch)
        numbers = f"{figures.params:12,d}{figures.paper_gflops:14.3f}{size:7.1f}"
        yield f"{name:{COLUMN}s}{numbers}  {_plain(found.info.description)}"


def describe(source: str | Path) -> Iterator[str]:
    """Lines that say what weights are.

    Args:
        source: As of ``load_magnifier``.

    Raises:
        InputError: As of ``load_magnifier``.
    """
    load_magnifier(source)  # what cannot be used is not described
    path = locate(source)
    yield _line("file", f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    if is_checkpoint(path):
        content = read_checkpoint(path)
        arch, state = checkpoint_magnifier(path)
        yield _line("what", "checkpoint of a run; its configuration and results lie in the run's directory")
        yield _line("digest", f"sha256:{tensors_digest(state)} of the tensors")
        yield from _network(arch)
        yield _line("training", f"{content.get('global_step')} steps")
        return
    found = read_weights(path)
    info = found.info
    yield _line("what", info.description)
    yield _line("digest", f"sha256:{found.digest} of the tensors")
    yield from _network(found.arch)
    yield _line("data", info.data)
    yield _line("licence", info.licence)
    for name, measured in info.metrics.items():
        yield _line("metrics", f"on {name}: {_pairs(measured['identity'])}")
        for method, values in measured["methods"].items():
            yield _line("", f"{_plain(method):20s} {_pairs(values) if isinstance(values, dict) else _plain(values)}")
        for metric, text in measured["definitions"].items():
            yield _line("", f"{_plain(metric)}: {_plain(text)}")
    for number, stretch in enumerate(info.log, start=1):
        yield _line("training", f"stretch {number} of {len(info.log)}")
        yield from (_line("", f"{_plain(key)}: {_plain(value)}") for key, value in stretch.items())


def _network(arch: MagnifierConfig) -> Iterator[str]:
    figures = cost(arch)
    presets = {"proposed": MagnifierConfig.proposed(), "baseline": MagnifierConfig.baseline()}
    own = arch.canonical()
    same = [f" (the paper's {name} model)" for name, preset in presets.items() if preset.canonical() == own]
    yield _line("architecture", f"{_pairs(arch.to_dict())}{''.join(same)}")
    size = f"{figures.height} x {figures.width}"
    flops = f"{figures.paper_gflops:.3f} G of the paper's FLOPs at {size}"
    usual = f"{figures.flops_two_per_mac / 1e9:.3f} GFLOP at two per multiply-accumulate"
    yield _line("cost", f"{figures.params:,} parameters; {flops} ({usual})")


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{_plain(key)} {_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    """Text without control characters, which a file from elsewhere could hold; numbers to six digits."""
    if isinstance(value, dict):
        return f"({_pairs(value)})"
    text = f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
    return "".join(character if character.isprintable() else " " for character in text)


def _line(label: str, text: str) -> str:
    return f"{label:{COLUMN}s}{_plain(text)}"
