"""The trainings behind Table A1: one that all rows share, then for each row removal, cut and fine-tuning.

The reference goes through the same stages without switches, so that each row has been trained for as long.

    DIR/
      settings.json                what this directory is for; another table's is refused
      shared/                      the training that all rows start from
      reference/, encoder/, decoder/
        learn/, tune/              the two stages: checkpoints/last.ckpt to continue from, logs/, stage.json when done
"""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_mm.callbacks import AtomicCheckpointIO
from lightning_mm.configuration import without_hints
from lightning_mm.distributed import Interruptible
from lightning_mm.errors import InputError, TrainingDivergedError, first_line
from lightning_mm.models.block_forms import Part
from lightning_mm.models.switches import cut, insert_switches
from lightning_mm.recording import LAST
from lightning_mm.runs import write_text_atomically
from lightning_mm.superres.data import ScaleDataModule
from lightning_mm.superres.mdsr import MDSR, SCALES, ResidualBlock
from lightning_mm.superres.spec import SuperResolutionSpec
from lightning_mm.superres.task import SuperResolutionTask
from lightning_mm.tasks.prune import RemovalConfig
from lightning_mm.weights.checkpoint import read_checkpoint

REFERENCE = "reference"
SETTINGS_FILE, STAGE_FILE = "settings.json", "stage.json"


@dataclass(frozen=True)
class Row:
    """What the trainings of a row of Table A1 came to.

    Attributes:
        psnr: dB by scale, "x2" and so on.
        bicubic: The same of bicubic upscaling.
        params: Number of parameters behind the cut.
        removed: Names of the residual blocks that were cut out.
        omega: omega of each switch before the cut, by name.
        steps: Optimiser steps, those of the shared training included.
    """

    psnr: dict[str, float]
    bicubic: dict[str, float]
    params: int
    removed: list[str]
    omega: dict[str, float]
    steps: int


class Stages:
    """Trains what is not trained yet.

    Args:
        spec: The table.
        directory: Directory for everything.
        say: Prints a line.

    Raises:
        InputError: The directory holds another table.
    """

    def __init__(self, spec: SuperResolutionSpec, directory: Path, say: Callable[[str], None]) -> None:
        self.spec, self.directory, self.say = spec, directory, say
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        path, now = directory / SETTINGS_FILE, spec.to_dict()
        if path.exists():
            try:
                before = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise InputError(f"{path}: not the settings of a table ({first_line(error)})") from None
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) != now.get(key) and key != "description":
                    differs = f"{key} = {before.get(key)}, not {now.get(key)}"
                    raise InputError(f"{directory}: holds a table with {differs}; choose another directory")
        else:
            write_text_atomically(path, json.dumps(now, indent=1) + "\n")

    def row(self, removal: RemovalConfig | None = None) -> Row:
        """A row: MDSR without the residual blocks that a removal takes away; the reference where there is none.

        Raises:
            Interrupted: Stopped; the last checkpoint stands.
            TrainingDivergedError: The loss or a PSNR became infinite or NaN.
        """
        spec, name = self.spec, removal.part if removal else REFERENCE
        L.seed_everything(spec.seed, verbose=False)
        network = MDSR(spec.network)
        self._stage("shared", network, 0, spec.epochs)
        switches = insert_switches(network, blocks_of(network, removal.part), "identity") if removal else {}
        self._stage(f"{name}/learn", network, spec.epochs, spec.removal_epochs, removal)
        omega = {key: switch.omega.item() for key, switch in switches.items()}
        removed = cut(network, removal.threshold) if removal else []
        if removal:
            self.say(f"{name}: {len(removed)} of {len(omega)} blocks removed")
        measured = self._stage(f"{name}/tune", network, spec.epochs + spec.removal_epochs, spec.tune_epochs)
        psnr, bicubic = ({f"x{s}": measured[f"{who}_x{s}"] for s in SCALES} for who in ("psnr", "bicubic"))
        params = sum(parameter.numel() for parameter in network.parameters())
        steps = (spec.epochs + spec.removal_epochs + spec.tune_epochs) * spec.data.epoch_steps
        return Row(psnr, bicubic, params, removed, omega, steps)

    def _stage(
        self, name: str, network: MDSR, first_epoch: int, epochs: int, removal: RemovalConfig | None = None
    ) -> dict[str, float]:
        """Train a network in place, or take what a finished stage has made of it."""
        directory = self.directory / name
        path, checkpoint = directory / STAGE_FILE, directory / LAST
        task = SuperResolutionTask(network, self.spec.optim, removal)
        if not path.exists():
            measured = self._train(task, directory, first_epoch, epochs)
            write_text_atomically(path, json.dumps(measured, indent=1) + "\n")
            shown = ", ".join(f"x{scale} {measured[f'psnr_x{scale}']:.2f}" for scale in SCALES)
            self.say(f"{name}: PSNR {shown} dB after {first_epoch + epochs} epochs")
        task.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
        return json.loads(path.read_text(encoding="utf-8"))

    def _train(self, task: SuperResolutionTask, directory: Path, first_epoch: int, epochs: int) -> dict[str, float]:
        data = ScaleDataModule(self.spec.data, self.spec.seed, first_epoch)
        data.setup("fit")
        checkpoint = directory / LAST
        keep = {"save_on_train_epoch_end": True, "enable_version_counter": False, "save_top_k": 1}
        trainer = L.Trainer(
            max_epochs=epochs,
            devices=1,
            precision=self.spec.precision,  # pyright: ignore[reportArgumentType]
            callbacks=[ModelCheckpoint(dirpath=checkpoint.parent, filename=checkpoint.stem, **keep)],
            logger=CSVLogger(save_dir=directory, name="logs"),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=directory,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        advice = f"run the same command again to continue from {directory}"
        with Interruptible(trainer, advice), without_hints():
            resume = checkpoint if checkpoint.exists() else None
            trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
            found = trainer.test(task, datamodule=data, verbose=False)[0]
        measured = {name.removeprefix("test/"): float(value) for name, value in found.items()}
        for name, value in measured.items():
            if not math.isfinite(value):
                raise TrainingDivergedError(f"{name} is {value} after step {trainer.global_step} of {directory}")
        return measured


def blocks_of(network: MDSR, module: Part) -> list[str]:
    """Dotted names of the residual blocks of a module."""
    modules = network.named_modules()
    return [name for name, m in modules if isinstance(m, ResidualBlock) and name.startswith(f"{module}.")]
