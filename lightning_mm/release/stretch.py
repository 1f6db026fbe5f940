"""One stretch of training: from the weights that ship, or from nothing, to new weights with one more log entry."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_mm.data.bank import find_images
from lightning_mm.recording import LAST
from lightning_mm.release.spec import ReleaseSpec
from lightning_mm.runs import Results
from lightning_mm.training import fit
from lightning_mm.weights import read_weights


@dataclass(frozen=True)
class Stretch:
    """A stretch of training that is finished.

    Attributes:
        checkpoint: The trained weights.
        log: The log of all stretches so far, this one last.
    """

    checkpoint: Path
    log: list[dict[str, Any]]


def train_stretch(spec: ReleaseSpec, name: str, file: Path, runs: Path, photos: Path | None) -> Stretch:
    """Train a model's next stretch, or continue it where it was interrupted.

    The stretch's number is one more than those in the file's log, and so is its directory's: the same call continues
    an interrupted stretch, and begins the next one when the file has been written.

    Args:
        spec: Recipes.
        name: The model.
        file: The weights that ship; they need not exist yet.
        runs: Folder for the stretches' run directories.
        photos: Folder of photos, if any.

    Raises:
        InputError: The file is damaged or of another architecture; or the configuration is wrong.
        Interrupted: Stopped by the user; the same call continues.
    """
    start = file if file.exists() else None
    before = read_weights(file).info.log if start else []
    run_dir = runs / f"{name}-{len(before) + 1}"
    arguments = spec.arguments(name, run_dir, start, photos, seed=len(before))
    results = fit([*arguments, "--trainer.devices=1", "--trainer.enable_progress_bar=false"])
    return Stretch(run_dir / LAST, [*before, log_entry(results, before)])


def log_entry(results: Results, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of a stretch of training, as plain JSON."""
    budget, hardware = results.budget, results.hardware
    data = results.config["data"]
    textures = f"{data['textures']} procedural textures"
    if data["photos"] is not None:
        textures += f" and {len(find_images(Path(data['photos'])))} photos"
    loss = results.config["model"]["loss"]
    return {
        "stretch": len(before) + 1,
        "finished": datetime.date.today().isoformat(),
        "device": hardware["device"],
        "processor": hardware["processor"],
        "threads": hardware["threads"],
        "train_seconds": budget["train_seconds"],
        "steps": budget["steps"],
        "samples": budget["samples"],
        "batch_size": budget["batch_size"],
        "crop": budget["crop"],
        "precision": budget["precision"],
        "seed": budget["seed"],
        "echo": data["echo"],
        "data": textures,
        "max_magnified_motion": data["scenes"]["max_magnified_motion"],
        "loss": {key: value for key, value in loss.items() if isinstance(value, float) and value > 0},
        "learning_rate": results.config["model"]["optim"]["lr"],
        "commit": results.commit,
        "torch": results.versions["torch"],
    }
