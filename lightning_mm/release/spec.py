"""Which weights ship and how they are trained, as data read from a YAML file of ``experiments/``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lightning_mm.configuration import as_arguments, read_dataclass
from lightning_mm.weights import SHIPPED

_OWN = {"run.dir", "run.weights", "data.photos"}


@dataclass(frozen=True)
class ReleaseSpec:
    """The weights that ship.

    Args:
        models: Name of each model, and the experiment files that it is trained with, merged left to right.
        cpu: Experiment files that are merged behind those where there is no GPU.
        settings: Dotted keys for every stretch of training.
        descriptions: What each model is, in a sentence.
        photos: What the photos are that ``--photos`` names; said of weights that were trained on photos.
        licence: Terms under which the files may be used.
        photos_licence: What is to be added to them for weights that were trained on photos.
    """

    models: dict[str, list[Path]]
    cpu: list[Path]
    descriptions: dict[str, str]
    photos: str
    licence: str
    photos_licence: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names that are not those of weights that ship."""
        for name in self.models:
            if name not in SHIPPED:
                raise ValueError(f"models: no weights named '{name}' ship; accepted: {', '.join(SHIPPED)}")
            if name not in self.descriptions:
                raise ValueError(f"descriptions: lacks '{name}'")
        for key in _OWN & self.settings.keys():
            raise ValueError(f"settings: {key} is not for here; there are the options of 'lightning-mm release'")

    def arguments(self, name: str, run_dir: Path, weights: Path | None, photos: Path | None, seed: int) -> list[str]:
        """Arguments of ``fit`` for one stretch of training.

        Args:
            name: The model.
            run_dir: Directory of the stretch.
            weights: File to start from, if any.
            photos: Folder of photos to texture scenes with, if any.
            seed: Of the stretch, so that none sees the samples of another.
        """
        files = [*self.models[name], *([] if torch.cuda.is_available() else self.cpu)]
        values = {"data.seed": seed, "seed_everything": seed, **self.settings}
        paths = {"run.dir": run_dir, "run.weights": weights, "data.photos": photos}
        return as_arguments(files, values | {key: str(path) for key, path in paths.items() if path is not None})


def read_release(path: Path) -> ReleaseSpec:
    """Read the YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    return read_dataclass(path, ReleaseSpec, "no such file; the one that ships is experiments/weights.yaml")
