"""The ``release`` command: trains the next stretch of each model that ships, measures it, and writes the files."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_mm.data.bank import find_images
from lightning_mm.errors import InputError
from lightning_mm.release.card import model_card
from lightning_mm.release.measure import measure
from lightning_mm.release.spec import ReleaseSpec, read_release
from lightning_mm.release.stretch import train_stretch
from lightning_mm.runs import write_text_atomically
from lightning_mm.weights import SHIPPED, WeightsInfo, read_magnifier, read_weights, write_weights
from lightning_mm.weights.loading import DIRECTORY, SUMS_FILE

CARD_FILE = "MODEL_CARD.md"


def release(
    spec: Path = Path("experiments/weights.yaml"),
    models: list[str] | None = None,
    photos: Path | None = None,
    val_photos: Path | None = None,
    settings: dict[str, Any] | None = None,
    train: bool = True,
    force: bool = False,
    output: Path = DIRECTORY,
    runs: Path = Path("runs/weights"),
) -> None:
    """Train the weights that ship a stretch further, or from nothing, and write them with their model card.

    Running it again after an interruption continues the stretch; running it again after that adds another one, which
    starts from the weights as they are. Every stretch is logged in the file. A stretch that makes a model worse on the
    fixed validation sets changes nothing.

    Args:
        spec: YAML file with the recipes.
        models: Names of the models to train; all of the file when left out.
        photos: Folder of photos to texture training scenes with; procedural textures alone when left out.
        val_photos: Folder of photos for the photo-based validation set, none of which are in training.
        settings: Dotted keys to change in the recipe, such as '{data.size: 96}'.
        train: Whether to train; false measures the files again.
        force: Write the weights even where they became worse.
        output: Folder of the files that ship.
        runs: Folder for run directories.
    """
    recipe = read_release(spec)
    if settings:
        recipe = replace(recipe, settings={**recipe.settings, **settings})
    names = list(models or recipe.models)
    for name in names:
        if name not in recipe.models:
            raise InputError(f"models: {spec} has no '{name}'; accepted: {', '.join(recipe.models)}")
    if val_photos is not None:
        find_images(val_photos)  # a folder that is missing is found before hours of training
    for name in names:
        file = output / f"{name}.safetensors"
        if train:
            _train_and_write(recipe, name, file, runs, photos, val_photos, force)
        else:
            found = read_weights(file)
            metrics = measure(found.arch, found.state, val_photos)
            write_weights(file, found.state, found.arch, replace(found.info, metrics=metrics))
        _write_sums_and_card(output)
        print(f"{file}: {_in_words(read_weights(file).info)}")


def _train_and_write(
    recipe: ReleaseSpec,
    name: str,
    file: Path,
    runs: Path,
    photos: Path | None,
    val_photos: Path | None,
    force: bool,
) -> None:
    stretch = train_stretch(recipe, name, file, runs, photos)
    arch, state = read_magnifier(stretch.checkpoint)
    metrics = measure(arch, state, val_photos)
    info = WeightsInfo(
        description=recipe.descriptions[name],
        metrics=metrics,
        log=stretch.log,
        data=recipe.data if any("photos" in entry["data"] for entry in stretch.log) else "procedural textures",
        licence=recipe.licence,
    )
    if file.exists() and not force and (worse := _worse(read_weights(file).info.metrics, metrics)):
        run_dir = stretch.checkpoint.parent.parent
        raise InputError(f"{run_dir}: {worse}; {file} stays. Delete that run to train another, or give --force true")
    write_weights(file, state, arch, info)


def _worse(before: dict[str, Any], now: dict[str, Any]) -> str:
    """In words, what became worse on a set that both were measured on; empty where nothing can be said."""
    changes = {
        name: now[name]["methods"]["weights"]["ssim"] - before[name]["methods"]["weights"]["ssim"]
        for name in before.keys() & now.keys()
        if before[name]["identity"] == now[name]["identity"]
    }
    if not changes or sum(changes.values()) >= 0.0:
        return ""
    return "SSIM changed by " + ", ".join(f"{change:+.4f} on {name}" for name, change in sorted(changes.items()))


def _write_sums_and_card(output: Path) -> None:
    files = [path for name in SHIPPED if (path := output / f"{name}.safetensors").exists()]
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    write_text_atomically(output / SUMS_FILE, sums)
    write_text_atomically(output / CARD_FILE, model_card({path.stem: read_weights(path) for path in files}))


def _in_words(info: WeightsInfo) -> str:
    scores = [f"SSIM {one['methods']['weights']['ssim']:.4f} on {name}" for name, one in info.metrics.items()]
    samples = sum(entry["samples"] for entry in info.log)
    return f"{', '.join(scores)} after {samples:,} samples in {len(info.log)} stretches"
