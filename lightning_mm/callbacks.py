"""Callbacks that every training has: checkpoints, elapsed time, EMA; and the picture of validation pairs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor
from torch.utils.data import default_collate

from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.rendering import Pairs
from lightning_mm.runs import atomic_file

SAMPLE_PAIRS = 4


def standard_callbacks(run_dir: Path, ema_decay: float) -> list[Callback]:
    """Checkpoints at each epoch's end (the last and the best by validation SSIM), and EMA when asked for.

    Checkpoints are written when an epoch has ended, validation included: from there a resumed run is exactly the
    uninterrupted one.
    """
    common: dict[str, Any] = {
        "dirpath": run_dir / "checkpoints",
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
        "save_top_k": 1,
    }
    callbacks: list[Callback] = []
    if ema_decay > 0:
        callbacks.append(WeightAveraging(avg_fn=warmed_up_average(ema_decay)))
    callbacks += [
        ModelCheckpoint(filename="best", monitor="val/ssim", mode="max", **common),
        ModelCheckpoint(filename="last", **common),
    ]
    return callbacks


def warmed_up_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Update rule of an exponential moving average whose decay at step n is min(decay, (1 + n) / (10 + n)).

    A fixed decay of 0.999 would still be half made of the initial weights after 700 steps.
    """

    def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        n = float(updates)
        return averaged.lerp(current, 1.0 - min(decay, (1.0 + n) / (10.0 + n)))

    return average


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its final name, flushes it to disk and renames it.

    Lightning's own writer builds the file in the system's temporary directory; where that is another file system, a
    full disk destroys the previous checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save; the previous file stands until the new one is complete.

        Raises:
            OSError: It cannot be written, for want of space perhaps; with the name of the file.
        """
        try:
            with atomic_file(Path(path)) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # Behind a failed write, torch raises that the file does not end where it should.
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from None


class Stopwatch(Callback):
    """Seconds spent in training, over all stretches of a resumed run, and samples per second over all ranks.

    Logs "train/samples_per_second", at each logged step over the steps since the one before, validation left out.
    """

    def __init__(self) -> None:
        self._before = self._validation = self._since = 0.0
        self._samples = 0
        self._start: float | None = None
        self._validation_start = 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far, validation included."""
        return self._before + (time.perf_counter() - self._start if self._start is not None else 0.0)

    @property
    def training_seconds(self) -> float:
        """Seconds so far without validation."""
        return self.seconds - self._validation

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self._start = time.perf_counter()
        self._since, self._samples = self.training_seconds, 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Pairs, batch_idx: int
    ) -> None:
        """Log samples per second."""
        self._samples += len(batch.alpha) * trainer.world_size
        now = self.training_seconds
        rate = self._samples / max(now - self._since, 1e-9)
        pl_module.log("train/samples_per_second", rate, on_step=True, on_epoch=False)
        if trainer.global_step % trainer.log_every_n_steps == 0:  # pyright: ignore[reportAttributeAccessIssue]
            self._since, self._samples = now, 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop for a validation."""
        self._validation_start = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on behind a validation; the one before training is no part of it."""
        if self._start is not None:
            self._validation += time.perf_counter() - self._validation_start

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop."""
        self._before, self._start = self.seconds, None

    def state_dict(self) -> dict[str, Any]:
        """Seconds so far, for the checkpoint."""
        return {"seconds": self.seconds, "validation_seconds": self._validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's seconds."""
        self._before, self._validation = state_dict["seconds"], state_dict["validation_seconds"]


@torch.inference_mode()
def write_samples(task: L.LightningModule, data: PairDataModule, path: Path) -> None:
    """Write the first validation pairs as a picture: one row each, frame A, frame B, target, output."""
    from PIL import Image

    data.setup("validate")
    dataset = data.val_dataloader().dataset
    task.eval()
    rows: list[Tensor] = []
    # The first of all ranks, in batches as one process validates them: the data module remembers those.
    for start in range(0, data.val_count, data.batch_size):
        indices = range(start, min(start + data.batch_size, data.val_count))
        batch = default_collate([dataset[index] for index in indices])
        pairs: Pairs = data.on_after_batch_transfer({name: value.to(task.device) for name, value in batch.items()}, 0)
        output = task(pairs.frame_a, pairs.frame_b, pairs.alpha)
        columns = [image.float().clamp(-1, 1) for image in (pairs.frame_a, pairs.frame_b, pairs.target, output)]
        rows += torch.cat(columns, dim=3)  # each pair (3, H, 4 * W)
        if len(rows) >= SAMPLE_PAIRS:
            break
    picture = torch.cat(rows[:SAMPLE_PAIRS], dim=1)
    pixels = ((picture + 1.0) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    with atomic_file(path) as file:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG")
