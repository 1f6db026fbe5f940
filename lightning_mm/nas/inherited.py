"""Supernets as estimators: training one, and scoring networks by the weights that they inherit."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from lightning_mm.configuration import TrainingCLI, build, without_hints
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.rendering import Pairs
from lightning_mm.distributed import Interruptible
from lightning_mm.errors import TrainingDivergedError
from lightning_mm.metrics import ssim
from lightning_mm.models.supernet import SuperNet
from lightning_mm.recording import LAST, claim, close_loggers
from lightning_mm.runs import write_text_atomically
from lightning_mm.spaces import Genotype
from lightning_mm.tasks import SupernetTask
from lightning_mm.timing import device_seconds
from lightning_mm.weights.checkpoint import read_checkpoint

OUTCOME_FILE = "supernet.json"


class Inherited:
    """Mean SSIM of networks with the weights that they inherit.

    Args:
        supernet: The trained supernet; networks are computed on its device.
        data: Data whose validation pairs, or search pairs, are scored on; they are kept, rendered once.
        precision: As of the Trainer: the scores of "bf16-mixed" are those of bfloat16 convolutions.
    """

    def __init__(self, supernet: SuperNet, data: PairDataModule, precision: str = "32-true") -> None:
        self.supernet, self.precision = supernet.eval(), precision
        self.device = next(iter(supernet.store.values())).device
        data.setup("validate")
        self.pairs: list[Pairs] = []
        for batch in data.val_dataloader():
            moved = {name: value.to(self.device) for name, value in batch.items()}
            self.pairs.append(data.on_after_batch_transfer(moved, 0))

    @torch.inference_mode()
    def __call__(self, path: Genotype) -> float:
        """SSIM, the mean over pairs; NaN where the output is no number."""
        total, count = 0.0, 0
        half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        for pairs in self.pairs:
            with torch.autocast(self.device.type, dtype=half, enabled=half is not None):
                output = self.supernet(pairs.frame_a, pairs.frame_b, pairs.alpha, path)
            total += float(ssim(output.float().clamp(-1.0, 1.0), pairs.target).sum())
            count += len(pairs.alpha)
        return total / count if math.isfinite(total) else math.nan


def train_supernet(args: list[str]) -> tuple[dict[str, Any], Inherited | None]:
    """Train a supernet, or continue, or load the trained one.

    Args:
        args: Command-line arguments as of ``fit``, for a ``SupernetTask``.

    Returns:
        The outcome, also in ``supernet.json`` of the run directory: "status" ("trained" or "diverged"), "steps",
        "samples", "seconds", "device_seconds" (``timing.device_seconds``, for a training that was resumed scaled up
        from the last stretch), "loss" (of the last step), "largest_gradient_norm", "ssim" of four fixed networks,
        "inverted" (whether the largest of them is worse than the smallest), and where it diverged "reason", "step",
        "paths" and "gradient_norm", the last finite one; and the estimator, ``None`` where it diverged.

    Raises:
        InputError: The configuration is wrong, or the directory belongs to another one.
        Interrupted: Stopped; the last checkpoint stands.
    """
    cli = build(args, task=SupernetTask)
    task, data, trainer, run_dir = cli.model, cli.datamodule, cli.trainer, cli.options.dir
    assert isinstance(task, SupernetTask)
    data.setup("fit")
    data.epoch_sampler(0, 1)
    claim(run_dir, cli.plain_config())
    path, checkpoint = run_dir / OUTCOME_FILE, run_dir / LAST
    if not path.exists():
        write_text_atomically(path, json.dumps(_train(cli, task, checkpoint), indent=2) + "\n")
    outcome = json.loads(path.read_text(encoding="utf-8"))
    if outcome["status"] != "trained":
        return outcome, None
    task.load_state_dict(_weights(checkpoint), strict=False)
    task.to(trainer.strategy.root_device)
    return outcome, Inherited(task.supernet, data, str(trainer.precision))


def _train(cli: TrainingCLI, task: SupernetTask, checkpoint: Path) -> dict[str, Any]:
    trainer = cli.trainer
    resume = checkpoint if checkpoint.exists() else None
    diverged: dict[str, Any] = {}
    start, steps = device_seconds(), 0 if resume is None else int(read_checkpoint(resume)["global_step"])
    try:
        with Interruptible(trainer, "run the same command again to continue"), without_hints():
            trainer.fit(task, datamodule=cli.datamodule, ckpt_path=resume, weights_only=True)
            if trainer.global_step == steps:  # the last checkpoint was the end, and only the outcome is wanting
                task.load_state_dict(_weights(checkpoint), strict=False)
                trainer.validate(task, datamodule=cli.datamodule, verbose=False)
    except TrainingDivergedError as error:
        diverged = {"reason": str(error), **error.details}
    finally:
        close_loggers(trainer.loggers)
    measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
    loss = measured.get("train/loss")
    share = trainer.global_step / max(1, trainer.global_step - steps)
    probes = {key.removeprefix("val/ssim_"): v for key, v in measured.items() if key.startswith("val/ssim_")}
    if not diverged and not all(map(math.isfinite, probes.values())):
        diverged = {"reason": "the SSIM of a network is no number", "step": trainer.global_step}
    probes = {name: value for name, value in probes.items() if math.isfinite(value)}
    return {
        "status": "diverged" if diverged else "trained",
        **diverged,
        "steps": trainer.global_step,
        "samples": trainer.global_step * cli.datamodule.batch_size,
        "seconds": round(cli.stopwatch.seconds, 3),
        "device_seconds": round((device_seconds() - start) * share, 3),
        "loss": loss if loss is not None and math.isfinite(loss) else None,
        "largest_gradient_norm": task.largest_gradient_norm,
        "ssim": probes,
        "inverted": not diverged and probes["largest"] < probes["smallest"],
    }


def _weights(checkpoint: Path) -> dict[str, Any]:
    state = read_checkpoint(checkpoint)["state_dict"]
    return {name: value for name, value in state.items() if name.startswith("supernet.")}
