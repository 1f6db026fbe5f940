"""The appendix's experiments as data: one row of its table, and the budget that rows share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_mm.configuration import QUIET, as_arguments, read_dataclass, require_name, require_settings
from lightning_mm.nas.evolution import EvolutionOptions
from lightning_mm.spaces import ChoiceSpace


@dataclass(frozen=True)
class PaperRow:
    """What the paper prints of a row (Fig. A3, right).

    Args:
        trained: Whether its training succeeded.
        ssim: SSIM of the network found; left out where it is not printed.
        gflops: Its FLOPs in 1e9.
    """

    trained: bool
    ssim: float | None = None
    gflops: float | None = None


@dataclass(frozen=True)
class RowSpec:
    """A search under one constraint (the paper's Appendix C).

    Args:
        name: Name of the row; its directory.
        space: The choice blocks.
        max_gflops: Cap on the network that is looked for, in 1e9 of the paper's FLOPs.
        paper: What the paper found.
        description: One sentence.
    """

    name: str
    space: ChoiceSpace
    max_gflops: float
    paper: PaperRow
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse a cap that no network meets; the message gives the attainable range."""
        require_name(self.name)
        self.space.require_cap(self.max_gflops)


@dataclass(frozen=True)
class Preset:
    """The budget of the appendix's experiments.

    Args:
        configs: Experiment files that every training starts from.
        settings: Dotted keys that hold for every training.
        supernet: Dotted keys that hold for the supernet alone, such as its initialisation or learning rate.
        references: Experiment files of hand-designed networks that are trained as the networks found are.
        supernet_epochs: Epochs of the supernet.
        retrain_epochs: Epochs of a network from scratch; Guo et al. (2020) give it twice the supernet's steps.
        seeds: Seeds of the trainings from scratch.
        search: Numbers of the evolutionary search.
        search_pairs: Pairs of the training split, kept out of training, that networks are scored on.
        description: One sentence.
    """

    configs: list[Path]
    supernet_epochs: int
    retrain_epochs: int
    search_pairs: int
    settings: dict[str, Any] = field(default_factory=dict)
    supernet: dict[str, Any] = field(default_factory=dict)
    references: dict[str, Path] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    search: EvolutionOptions = EvolutionOptions()  # noqa: RUF009  (frozen)
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse budgets without a training, and keys that are no business of a budget."""
        for name in ("supernet_epochs", "retrain_epochs", "search_pairs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be >= 1")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {self.seeds}: must be one or more different numbers")
        require_settings(self.settings)
        for key in self.supernet:
            if not key.startswith("model."):
                raise ValueError(f"supernet: {key}: keys begin with model.")

    def supernet_arguments(self, row: RowSpec, run_dir: Path) -> list[str]:
        """Command-line arguments of a row's supernet training."""
        capped = row.max_gflops < row.space.attainable[1]
        paths = {"rule": "capped", "max_gflops": row.max_gflops} if capped else {"rule": "uniform"}
        own = {
            "model.space": row.space.to_dict(),
            "model.paths": paths,
            "trainer.max_epochs": self.supernet_epochs,
            "data.search_pairs": self.search_pairs,
            "run.dir": str(run_dir),
        }
        settings = supernet_settings(self.settings)
        return as_arguments(self.configs, {**settings, **self.supernet, **own, **QUIET})

    def retrain_arguments(
        self, run_dir: Path, seed: int, arch: dict[str, Any] | None = None, reference: Path | None = None
    ) -> list[str]:
        """Command-line arguments of a training from scratch: of an architecture, or of an experiment file's."""
        seeds = {"data.seed": seed, "seed_everything": seed}
        own = {"trainer.max_epochs": self.retrain_epochs, "run.dir": str(run_dir)}
        own |= {} if arch is None else {"model.arch": arch}
        files = [*self.configs, *([reference] if reference is not None else [])]
        return as_arguments(files, {**self.settings, **seeds, **own, **QUIET})


def read_row(path: Path) -> RowSpec:
    """Read a row's YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    return read_dataclass(path, RowSpec, "no such file; the rows that ship are sweeps/nas_a.yaml to nas_f.yaml")


def read_preset(path: Path) -> Preset:
    """Read a budget's YAML file; errors as of ``read_row``."""
    missing = "no such file; the presets that ship are in sweeps/presets/"
    return read_dataclass(path, Preset, missing, files=lambda spec: (*spec.configs, *spec.references.values()))


def supernet_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of a budget's settings that a supernet's task has: it measures no LPIPS."""
    return {key: value for key, value in settings.items() if not key.startswith("model.lpips")}
