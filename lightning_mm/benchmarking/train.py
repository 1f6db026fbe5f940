"""Speed of training: the step as ``fit`` does it, the share of each of its parts, the renderer, a loader of PNG files.

The step is timed in a real ``Trainer.fit`` of the configuration, from the end of one batch to the end of a later one:
fetching, moving, rendering, degradation, forward, loss, backward, clipping, optimiser, schedule and averaging of
weights. Validation, checkpoints, loggers, the progress bar and callbacks of the configuration are left out. Between
stretches of steps the same process times the parts, so that all repeats are interleaved.
"""

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from lightning_mm.benchmarking.parts import (
    LOSS_WITH_PERCEPTUAL,
    PERCEPTUAL,
    PLAIN_LOSS,
    hold_weights,
    renderer_parts,
    step_parts,
)
from lightning_mm.benchmarking.reading import PngReading, write_samples
from lightning_mm.callbacks import standard_callbacks
from lightning_mm.configuration import TrainingCLI, build
from lightning_mm.cost import cost
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.rendering import Pairs
from lightning_mm.data.sampling import ECHO_BATCHES, SceneDataset
from lightning_mm.machine import cores, hardware
from lightning_mm.runs import git_commit, package_versions
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.timing import Summary, Timed, calls_to_measure, clock

FRAMEWORK = "framework"
_WARM_UP = 2  # steps of the optimiser
_ENDLESS = 10**9  # samples per epoch: an epoch's start is no part of a step
# What of the configured Trainer decides what a step does.
_KEPT = ("precision", "plugins", "gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches")
_KEPT += ("deterministic", "benchmark", "detect_anomaly")


@dataclass(frozen=True)
class TrainingSpeed:
    """What a benchmark of training found.

    Attributes:
        setup: What was measured and on what: "device", "processor", "threads", "cores", "torch", "precision",
            "height", "width", "batch_size", "accumulate_grad_batches", "echo", "num_workers", "compile", "data",
            "arch", "params".
        step: Seconds per batch of the whole step.
        parts: Seconds per batch of its parts by name, in order.
        rates: Samples per second by name: the renderer alone, and reading PNG files.
    """

    setup: dict[str, Any]
    step: Summary
    parts: dict[str, Summary]
    rates: dict[str, Summary]

    @property
    def framework(self) -> float:
        """What of the step the parts do not explain, seconds per batch; below zero where parts overlap in the step."""
        return self.step.median - sum(part.median for part in self.parts.values())

    def shares(self) -> dict[str, float]:
        """Share of each part's median in the step's, "framework" being what they leave; they add up to 1."""
        seconds = {**{name: part.median for name, part in self.parts.items()}, FRAMEWORK: self.framework}
        return {name: value / self.step.median for name, value in seconds.items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, raw repeats included; times in seconds per batch, rates in samples per second."""
        shares, batch = self.shares(), self.setup["batch_size"]
        parts = {name: asdict(part) for name, part in self.parts.items()} | {FRAMEWORK: {"median": self.framework}}
        return {
            "setup": self.setup,
            "samples_per_second": batch / self.step.median,
            "ms_per_sample": 1e3 * self.step.median / batch,
            "step": asdict(self.step),
            "parts": {name: {**part, "share": shares[name]} for name, part in parts.items()},
            "rates": {name: asdict(rate) for name, rate in self.rates.items()},
            "versions": package_versions(),
            "commit": git_commit(),
        }


def measure_training(args: list[str], repeats: int, say: Callable[[str], object] = lambda _: None) -> TrainingSpeed:
    """Measure the speed of a training, whose weights stay as they are.

    Args:
        args: Options of ``fit``. Trains on one device, the first that the Trainer would use.
        repeats: Times that everything is measured, at least 1.
        say: Told what is being done.

    Raises:
        InputError: The configuration is wrong.
        TrainingDivergedError: The loss is infinite or NaN.
    """
    cli = build([*args, "--run.wandb=off"])  # Weights & Biases makes its folder at once
    task, data = cli.model, cli.datamodule
    say("preparing data")
    data.setup("fit")
    data.epoch_samples = _ENDLESS
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        rounds = _Rounds(repeats, task, data, folder / "samples", say)
        trainer = _trainer(cli, rounds)
        resources.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            trainer.fit(task, datamodule=data)
        except SystemExit:
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
    return TrainingSpeed(
        setup=_setup(trainer, task, data, rounds.frame_size),
        step=Summary.of(rounds.step),
        parts={name: Summary.of(values) for name, values in _perceptual_apart(rounds.parts).items()},
        rates={name: Summary.of(values) for name, values in rounds.rates.items()},
    )


class _Rounds(Callback):
    """Measures while a Trainer trains: a stretch of steps, then each part and rate, and again."""

    def __init__(
        self, repeats: int, task: MagnifyTask, data: PairDataModule, folder: Path, say: Callable[[str], object]
    ) -> None:
        self.repeats, self.task, self.data, self.folder, self.say = repeats, task, data, folder, say
        self.step: list[float] = []
        self.parts: dict[str, list[float]] = {}
        self.rates: dict[str, list[float]] = {}
        self.frame_size = (data.size, data.size)
        self._script: Iterator[None] | None = None

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Undo what the schedule has set."""
        hold_weights(optimizer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Pairs, batch_idx: int
    ) -> None:
        """Go on with the script, which waits for a batch's end at each ``yield``."""
        self._script = self._script or self._run(trainer, batch)
        if next(self._script, self) is self:
            trainer.should_stop = True

    def _run(self, trainer: L.Trainer, batch: Pairs) -> Iterator[None]:
        device, accumulated = trainer.strategy.root_device, trainer.accumulate_grad_batches
        self.frame_size = (batch.target.shape[-2], batch.target.shape[-1])
        self.say("warming up")
        # Measured is only where a step of the optimiser ends, so that no gradients are lost.
        for _ in range(accumulated * (_WARM_UP + 1) - 1):
            yield
        cycle = math.lcm(accumulated, _echo_cycle(trainer, self.data))
        start = clock(device)
        for _ in range(cycle):
            yield
        batches = cycle * calls_to_measure(clock(device) - start)
        parts = {
            name: (part, Timed(part.work, device))
            for name, part in step_parts(trainer, self.task, self.data, batch).items()
        }
        rates = {name: (samples, Timed(work, device)) for name, samples, work in self._rate_work(device, batch)}
        for repeat in range(self.repeats):
            self.say(f"repeat {repeat + 1} of {self.repeats}: {batches} steps, then their parts")
            for _ in range(accumulated):  # the first step behind other work is not a typical one
                yield
            start = clock(device)
            for _ in range(batches):
                yield
            self.step.append((clock(device) - start) / batches)
            for name, (part, timed) in parts.items():
                self.parts.setdefault(name, []).append(timed.seconds() / part.batches)
            for name, (samples, timed) in rates.items():
                self.rates.setdefault(name, []).append(samples / timed.seconds())

    def _rate_work(self, device: torch.device, batch: Pairs) -> Iterator[tuple[str, int, Callable[[], object]]]:
        if self.data.oh2018 is None:
            for name, part in renderer_parts(self.data, device).items():
                yield name, self.data.batch_size, part.work
        write_samples(self.folder, batch)
        height, width = self.frame_size
        for workers in (0, cores()):
            reading = PngReading(self.folder, self.data.batch_size, workers)
            yield f"read PNG files, {width} x {height}, workers: {workers}", reading.samples, reading


def _echo_cycle(trainer: L.Trainer, data: PairDataModule) -> int:
    """Batches after which rendering and showing again have come in their true proportion."""
    dataset: Any = getattr(trainer.train_dataloader, "dataset", None)
    if isinstance(dataset, SceneDataset) and dataset.echo > 1:
        return dataset.echo * ECHO_BATCHES
    return 1


def _perceptual_apart(parts: dict[str, list[float]]) -> dict[str, list[float]]:
    """The perceptual term on its own: what the loss with it takes more than without, repeat by repeat."""
    if LOSS_WITH_PERCEPTUAL not in parts:
        return parts
    more = [both - plain for both, plain in zip(parts[LOSS_WITH_PERCEPTUAL], parts[PLAIN_LOSS], strict=True)]
    apart = {LOSS_WITH_PERCEPTUAL: (PERCEPTUAL, more)}
    return dict(apart.get(name, (name, values)) for name, values in parts.items())


def _trainer(cli: TrainingCLI, rounds: Callback) -> L.Trainer:
    """A Trainer that does the configured steps on one device, and nothing else."""
    own, device = cli.config_init["trainer"], cli.trainer.strategy.root_device
    standard = standard_callbacks(cli.options.dir, cli.options.ema_decay)
    return L.Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[*(callback for callback in standard if not isinstance(callback, ModelCheckpoint)), rounds],
        **{name: own[name] for name in _KEPT},
    )


def _setup(trainer: L.Trainer, task: MagnifyTask, data: PairDataModule, size: tuple[int, int]) -> dict[str, Any]:
    device = trainer.strategy.root_device
    return {
        **hardware(device),
        "cores": cores(),
        "torch": torch.__version__,
        "precision": str(trainer.precision),
        "height": size[0],
        "width": size[1],
        "batch_size": data.batch_size,
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
        "echo": data.echo,
        "num_workers": data.num_workers,
        "compile": task.magnifier.decoder._compiled_call_impl is not None,
        "data": "synthetic pairs" if data.oh2018 is None else f"stored pairs of {data.oh2018}",
        "arch": task.arch.to_dict(),
        "params": cost(task.arch).params,
    }
