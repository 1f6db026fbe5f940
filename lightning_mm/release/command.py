"""The ``release`` command: trains the next stretch of each model that ships, measures it, and writes the files."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_mm.data.bank import find_images
from lightning_mm.errors import InputError
from lightning_mm.release.card import model_card
from lightning_mm.release.measure import measure
from lightning_mm.release.spec import ReleaseSpec, read_release
from lightning_mm.release.stretch import Stretch, train_stretch
from lightning_mm.runs import require_writable, write_text_atomically
from lightning_mm.weights import SHIPPED, WeightsInfo, read_magnifier, read_weights, write_weights
from lightning_mm.weights.file import SUFFIX
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
    starts from the weights as they are. Every stretch is logged in the file. A stretch that lowers a model's SSIM, in
    the mean over the fixed validation sets, changes nothing.

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
        try:
            recipe = replace(recipe, settings={**recipe.settings, **settings})
        except ValueError as error:
            raise InputError(str(error)) from None
    names = list(recipe.models if models is None else models)
    for name in names:
        if name not in recipe.models:
            raise InputError(f"models: {spec} has no '{name}'; accepted: {', '.join(recipe.models)}")
    if not names:
        raise InputError(f"models is empty: must be one or more of {', '.join(recipe.models)}")
    require_writable(output, "--output", folder=True)
    _check_photos(photos, val_photos)
    files = {name: output / f"{name}{SUFFIX}" for name in names}
    for file in files.values():
        if val_photos is None and file.exists() and "photos" in read_weights(file).info.metrics:
            print(f"warning: {file} was measured on photos too; without --val_photos it is not again", file=sys.stderr)
    refused = []
    for name, file in files.items():
        if train:
            stretch = train_stretch(recipe, name, file, runs, photos)
            refused += _write_if_better(recipe, name, file, stretch, val_photos, force)
        else:
            found = read_weights(file)
            metrics = measure(found.arch, found.state, val_photos)
            write_weights(file, found.state, found.arch, replace(found.info, metrics=metrics))
        _write_sums_and_card(output)
        print(f"{file}: {_in_words(read_weights(file).info)}")
    if refused:
        raise InputError("; ".join(refused))


def _check_photos(photos: Path | None, val_photos: Path | None) -> None:
    """Find before hours of training that a folder is missing, or that both hold the same photo."""
    trained, judged = (
        {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in find_images(folder)} if folder else {}
        for folder in (photos, val_photos)
    )
    if same := trained.keys() & judged.keys():
        first = min(same, key=lambda digest: judged[digest])
        raise InputError(f"--val_photos: {judged[first]} is among the training photos, as {trained[first]}")


def _write_if_better(
    recipe: ReleaseSpec, name: str, file: Path, stretch: Stretch, val_photos: Path | None, force: bool
) -> list[str]:
    """Write what a stretch made; or, where it made things worse, nothing but say so."""
    arch, state = read_magnifier(stretch.checkpoint)
    metrics = measure(arch, state, val_photos)
    photos = any("photos" in entry["data"] for entry in stretch.log)
    info = WeightsInfo(
        description=recipe.descriptions[name],
        metrics=metrics,
        log=stretch.log,
        data="procedural textures" + (f", and photos: {recipe.photos}" if photos else ""),
        licence=recipe.licence + (f"; {recipe.photos_licence}" if photos else ""),
    )
    if file.exists() and not force:
        before = read_weights(file)
        comparable = {set_: one["identity"] for set_, one in before.info.metrics.items()}
        if comparable != {set_: one["identity"] for set_, one in metrics.items()}:
            before_metrics = measure(before.arch, before.state, val_photos)
        else:
            before_metrics = before.info.metrics
        if worse := _worse(before_metrics, metrics):
            run_dir = stretch.checkpoint.parent.parent
            advice = "give --force true to keep it all the same, or delete it and train with other --settings"
            return [f"{run_dir}: {worse}; {file} stays; {advice}"]
    write_weights(file, state, arch, info)
    return []


def _worse(before: dict[str, Any], now: dict[str, Any]) -> str:
    """In words, how SSIM changed, if it fell in the mean over the sets; else empty."""
    changes = {
        name: now[name]["methods"]["weights"]["ssim"] - before[name]["methods"]["weights"]["ssim"] for name in now
    }
    if sum(changes.values()) >= 0.0:
        return ""
    return "SSIM changed by " + ", ".join(f"{change:+.4f} on {name}" for name, change in sorted(changes.items()))


def _write_sums_and_card(output: Path) -> None:
    files = [path for name in SHIPPED if (path := output / f"{name}{SUFFIX}").exists()]
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    write_text_atomically(output / SUMS_FILE, sums)
    write_text_atomically(output / CARD_FILE, model_card({path.stem: read_weights(path) for path in files}))


def _in_words(info: WeightsInfo) -> str:
    scores = [f"SSIM {one['methods']['weights']['ssim']:.4f} on {name}" for name, one in info.metrics.items()]
    samples = sum(entry["samples"] for entry in info.log)
    return f"{', '.join(scores)} after {samples:,} samples in {len(info.log)} stretches"
