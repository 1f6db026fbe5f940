"""From a configuration to a trained, measured and recorded model: what fit, validate, test and sweeps share."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import lightning as L
from jsonargparse import ArgumentError
from lightning.pytorch.callbacks import Callback

from lightning_mm.callbacks import write_samples
from lightning_mm.configuration import DEFAULT_WEIGHTS, TrainingCLI, build, without_hints
from lightning_mm.cost import cost
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.distributed import Interruptible, processes
from lightning_mm.errors import InputError, TrainingDivergedError, one_line
from lightning_mm.latency import frame_latency
from lightning_mm.machine import hardware
from lightning_mm.recording import CONFIG_FILE, LAST, claim, close_loggers, log_summary
from lightning_mm.runs import RESULTS_FILE, SAMPLES_FILE, Results
from lightning_mm.tasks.magnify import FLOORS, MagnifyTask
from lightning_mm.weights import load_weights, read_magnifier
from lightning_mm.weights.checkpoint import read_checkpoint
from lightning_mm.weights.loading import is_checkpoint


def fit(
    args: list[str],
    role: str = "run",
    overrides: dict[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Results:
    """Train, or continue, one run and write its ``results.json``.

    Args:
        args: Command-line arguments.
        role: Role that the results carry; see ``Results``.
        overrides: Hyperparameters that distinguish the run in its sweep.
        callbacks: Callbacks of the Trainer beside those of the configuration.

    Returns:
        The results, also when the run was finished before.

    Raises:
        InputError: The configuration is wrong, or the run directory belongs to another one.
        Interrupted: Stopped by SIGINT or SIGTERM, a full disk or a lost process; the last checkpoint stands.
        TrainingDivergedError: The loss became infinite or NaN.
    """
    cli = build(args, callbacks=callbacks)
    run_dir, trainer = cli.options.dir, cli.trainer
    checkpoint, config = run_dir / LAST, cli.plain_config()
    resume = prepare(cli)
    if (run_dir / RESULTS_FILE).exists() and (done := Results.read(run_dir)).config == config:
        return done
    if resume is not None and read_magnifier(resume)[0] != cli.model.arch:
        raise InputError(f"{resume}: of another architecture than this configuration's")
    advice = f"run the same command again to continue from {checkpoint}"
    try:
        with Interruptible(trainer, advice):
            results = _results(cli, config, _train(cli, checkpoint, resume), role, overrides or {})
            if trainer.is_global_zero:
                write_samples(cli.model, cli.datamodule, run_dir / SAMPLES_FILE)
                results.write(run_dir)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                log_summary(logger, results, run_dir / SAMPLES_FILE)
    finally:
        close_loggers(trainer.loggers)
    return results


def prepare(cli: TrainingCLI) -> Path | None:
    """Check data and weights, load the weights that a new training of a magnifier starts from, and take its directory.

    Returns:
        The checkpoint to continue from; ``None`` for a new training.

    Raises:
        InputError: Data or weights are missing or do not fit, or the directory belongs to another configuration.
    """
    # What is missing or too small is found before anything is written or another process started.
    cli.datamodule.setup("fit")
    cli.datamodule.epoch_sampler(0, processes(cli.trainer))
    checkpoint = cli.options.dir / LAST
    if not checkpoint.exists() and cli.options.weights is not None:
        start_from(cli, cli.options.weights)
    resume = checkpoint if checkpoint.exists() else None
    if resume is not None:
        _require_as_many_devices(cli.trainer, resume)
    claim(cli.options.dir, cli.plain_config())
    return resume


def start_from(cli: TrainingCLI, source: str) -> None:
    """Load weights into the magnifier of a training.

    Raises:
        InputError: They are missing, damaged, or of another architecture.
    """
    arch, state = read_magnifier(source)
    for name, value in cli.model.arch.to_dict().items():
        if (found := arch.to_dict()[name]) != value:
            raise InputError(f"run.weights = {source}: has {name} = {found}, this configuration {value}")
    load_weights(cli.model.magnifier, state, source)


def _require_as_many_devices(trainer: L.Trainer, resume: Path) -> None:
    before, now = read_checkpoint(resume).get(PairDataModule.__qualname__, {}).get("ranks"), processes(trainer)
    if before not in (None, now):
        raise InputError(f"{resume}: of a run on {before} devices, not {now}; its batches would become others")


def _train(cli: TrainingCLI, checkpoint: Path, resume: Path | None) -> dict[str, float]:
    """Train to the end and measure; a finite number for each metric, or ``TrainingDivergedError``."""
    trainer = cli.trainer
    with without_hints():
        trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=resume, weights_only=True)
        if checkpoint.exists():
            # Averaged weights enter the model when training ends, which it does not where it had ended before: what is
            # tested is read from what is saved.
            cli.model.magnifier.load_state_dict(read_magnifier(checkpoint)[1])
        measured = trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)[0]
    for name, value in measured.items():
        if not math.isfinite(value):
            raise TrainingDivergedError(f"{name} is {value} after step {trainer.global_step}")
    return dict(measured)


def evaluate(
    args: list[str], command: Literal["validate", "test"]
) -> tuple[dict[str, float], MagnifyTask, PairDataModule]:
    """Measure weights on the validation pairs.

    The configuration is the one that a checkpoint's run saved beside it, else the defaults, then what the arguments
    say.

    Args:
        args: Command-line arguments; ``--weights SOURCE`` among them, or the proposed model that ships is measured.
        command: "validate", or "test", which measures the methods that need no training too.

    Returns:
        Metrics by name, and the task and the data they were measured with.

    Raises:
        InputError: The configuration or the weights are wrong.
    """
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scan.add_argument("--weights", default=DEFAULT_WEIGHTS)
    try:
        source = scan.parse_known_args(args)[0].weights
    except ArgumentError as error:
        raise InputError(one_line(error)) from None
    saved = Path(source).parent.parent / CONFIG_FILE
    cli = build([*(["--config", str(saved)] if is_checkpoint(source) and saved.is_file() else []), *args], command)
    load_weights(cli.model.magnifier, cli.weights, cli.config.weights)
    loop = cli.trainer.test if command == "test" else cli.trainer.validate
    measured = loop(cli.model, datamodule=cli.datamodule, verbose=False)[0]
    return {name.split("/", 1)[1]: float(value) for name, value in measured.items()}, cli.model, cli.datamodule


def _results(cli: TrainingCLI, config: dict[str, Any], measured: Any, role: str, overrides: dict[str, Any]) -> Results:
    task, data, trainer = cli.model, cli.datamodule, cli.trainer
    # Behind each of its loops Lightning moves the model to the processor; what follows runs where it was trained.
    task.to(trainer.strategy.root_device)
    values = {name.removeprefix("test/"): float(value) for name, value in measured.items()}
    names = ("ssim", "psnr", "lpips")
    device = trainer.strategy.root_device
    batches = trainer.fit_loop.epoch_loop.batch_progress.total.completed  # of a run that continued, those before too
    samples = batches * data.batch_size * trainer.world_size
    return Results(
        name=cli.options.dir.name,
        role=role,
        overrides=overrides,
        arch=task.arch.to_dict(),
        cost=asdict(cost(task.arch)),
        metrics={name: values.get(name) for name in names},
        absent=task.absent,
        floors={floor: {name: values.get(f"{floor}_{name}") for name in names} for floor in FLOORS},
        definitions=task.metric_definitions(),
        validation=data.validation_identity(),
        budget={
            "steps": trainer.global_step,
            "samples": samples,
            "batch_size": data.batch_size * trainer.world_size,
            "crop": data.size,
            "precision": str(trainer.precision),
            "seed": data.seed,
            "train_seconds": round(cli.stopwatch.seconds, 3),
            "samples_per_second": round(samples / max(cli.stopwatch.training_seconds, 1e-9), 3),
        },
        hardware={**hardware(device), "devices": trainer.world_size},
        latency=_latency(cli),
        config=config,
    )


def _latency(cli: TrainingCLI) -> dict[str, Any]:
    side = cli.options.latency_size
    if not side or not cli.trainer.is_global_zero:
        return {}
    with cli.trainer.precision_plugin.forward_context():
        measured = frame_latency(cli.model.magnifier, (side, side))
    return {**asdict(measured), "precision": str(cli.trainer.precision)}
