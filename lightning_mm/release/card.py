"""The model card of the weights that ship, written from what the files say about themselves."""

from collections.abc import Iterator
from typing import Any

from lightning_mm.cost import cost
from lightning_mm.weights.file import WeightsFile

_HEAD = """# Weights that ship with lightning_mm

Written by `lightning-mm release`, which trained and measured everything below; `lightning-mm weights NAME` prints what
a file says about itself, and `make weights` trains all of them further.

They magnify small motion in video: `lightning-mm magnify clip.mp4 out.mp4 --weights NAME`. Inputs are RGB frames of any
size; alpha is the total motion factor. They were trained on synthetic scenes whose target is exact, with the motions
listed below; larger magnified motion saturates. They are no measuring instrument: check a displacement that matters by
another method, and note that what they draw where motion uncovers something hidden is a guess. Footage of people can
reveal pulse or breathing: have their consent.
"""
_LOG_COLUMNS = {
    "stretch": "stretch",
    "finished": "finished",
    "processor": "hardware",
    "steps": "steps",
    "samples": "samples",
    "crop": "frame [px]",
    "max_magnified_motion": "motion up to [px]",
    "precision": "precision",
    "seed": "seed",
    "train_seconds": "training [s]",
    "data": "textures",
    "commit": "commit",
}


def model_card(files: dict[str, WeightsFile]) -> str:
    """Write the card.

    Args:
        files: The weights by name.

    Returns:
        Markdown.
    """
    parts = [_HEAD, *(part for name, file in files.items() for part in _model(name, file))]
    return "\n".join(parts)


def _model(name: str, file: WeightsFile) -> Iterator[str]:
    figures = cost(file.arch)
    yield f"## {name}\n\n{file.info.description}\n"
    yield f"- {figures.params:,} parameters, {figures.paper_gflops:.3f} G of the paper's FLOPs at 384 x 384"
    yield f"- SHA-256 of the tensors: `{file.digest}`"
    yield f"- trained on: {file.info.data}"
    yield f"- licence: {file.info.licence}\n"
    for title, one in file.info.metrics.items():
        identity = one["identity"]
        size = f"{identity['pairs']} pairs of {identity['height']} x {identity['width']} px"
        yield f"Validation set `{title}`: {size}, {identity['name']}, digest `{identity['digest']}`.\n"
        names = list(one["methods"]["weights"])
        yield from _table(["method", *names], [[m, *(_number(v[n]) for n in names)] for m, v in one["methods"].items()])
        yield ""
        yield from (f"- {metric}: {text}" for metric, text in one["definitions"].items())
        yield ""
    yield "Training:\n"
    rows = [[_cell(key, entry) for key in _LOG_COLUMNS] for entry in file.info.log]
    yield from _table(list(_LOG_COLUMNS.values()), rows)
    yield ""


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cell(key: str, entry: dict[str, Any]) -> str:
    value = entry.get(key)
    if value is None:
        return "-"
    if key == "processor" and "device" in entry:
        return str(entry["device"]) if entry["device"] != "cpu" else f"{value}, {entry.get('threads')} thread(s)"
    if key == "commit":
        return f"`{value[:12]}`"
    return f"{value:,}" if isinstance(value, int) and key in ("steps", "samples") else str(value)
