"""From a configuration to a trained, measured and recorded model: what fit, validate, test and sweeps share."""

import argparse
import json
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import yaml
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from lightning_mm.callbacks import AtomicCheckpointIO, Stopwatch, standard_callbacks, write_samples
from lightning_mm.cost import cost
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.distributed import Interruptible, limit_waiting, processes
from lightning_mm.errors import InputError, TrainingDivergedError, one_line
from lightning_mm.latency import frame_latency
from lightning_mm.recording import (
    CONFIG_FILE,
    LAST,
    RunOptions,
    build_loggers,
    claim,
    close_loggers,
    log_summary,
    processor,
)
from lightning_mm.runs import RESULTS_FILE, SAMPLES_FILE, Results
from lightning_mm.tasks.magnify import FLOORS, MagnifyTask
from lightning_mm.weights import load_weights, read_magnifier
from lightning_mm.weights.checkpoint import read_checkpoint
from lightning_mm.weights.loading import ACCEPTED, is_checkpoint

DEFAULT_WEIGHTS = "proposed"


class TrainingCLI(LightningCLI):
    """LightningCLI for one task and one data module, with strict keys, a run directory and fixed callbacks."""

    def __init__(self, args: ArgsType, command: str, callbacks: Sequence[Callback] = ()) -> None:
        self.command, self.more_callbacks = command, callbacks
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # Lightning 2.6.6 calls jsonargparse by deprecated names, and warns of arguments given from Python.
            warnings.simplefilter("ignore")
            super().__init__(
                MagnifyTask,
                PairDataModule,
                save_config_callback=None,
                trainer_defaults={
                    "max_epochs": 10,
                    "use_distributed_sampler": False,
                    "enable_model_summary": False,
                    "log_every_n_steps": 20,
                },
                seed_everything_default=0,
                parser_kwargs={
                    "prog": f"lightning-mm {command}",
                    "parser_mode": "omegaconf",
                    "allow_abbrev": False,
                    "exit_on_error": False,
                },
                args=args,
                run=False,
                auto_configure_optimizers=False,
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of ``RunOptions``, and the weights where some are measured."""
        parser.add_class_arguments(RunOptions, "run")
        if self.command != "fit":
            about = f"The weights to measure: {ACCEPTED}."
            parser.add_argument("--weights", type=str, default=DEFAULT_WEIGHTS, help=about)

    def before_instantiate_classes(self) -> None:
        """Take the architecture from the weights that are measured, whatever the configuration says."""
        if self.command != "fit":
            arch, self.weights = read_magnifier(self.config.weights)
            for name in arch.to_dict():
                self.config.model.arch[name] = getattr(arch, name)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Build the Trainer with this project's callbacks, loggers and checkpoint writer."""
        self.options: RunOptions = self.config_init["run"]
        if self.command != "fit":
            # One device, whatever the run that wrote the configuration had.
            kwargs |= {"devices": 1, "num_nodes": 1, "strategy": "auto"}
            return super().instantiate_trainer(logger=False, enable_checkpointing=False, **kwargs)
        own = self.config_init["trainer"]
        instead = {"logger": "--run.wandb", "default_root_dir": "--run.dir"}
        # A run that stops in the middle of an epoch cannot be continued exactly.
        epochs = "--trainer.max_epochs and --data.epoch_samples"
        instead |= dict.fromkeys(("max_steps", "min_steps", "max_time"), epochs)
        for key, other in instead.items():
            if own[key] not in (None, -1):
                raise InputError(f"trainer.{key} = {own[key]}: not used here; use {other}")
        callbacks = own["callbacks"] or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        self.stopwatch = Stopwatch()
        callbacks = [*callbacks, *self.more_callbacks, self.stopwatch]
        callbacks += standard_callbacks(self.options.dir, self.options.ema_decay)
        trainer = super().instantiate_trainer(
            callbacks=callbacks,
            logger=build_loggers(self.options),
            default_root_dir=self.options.dir,
            plugins=[*(own["plugins"] or []), AtomicCheckpointIO()],
            **kwargs,
        )
        limit_waiting(trainer)
        return trainer

    def plain_config(self) -> dict[str, Any]:
        """The full resolved configuration as plain types."""
        return yaml.safe_load(self.parser.dump(self.config, skip_none=False))


def build(args: list[str], command: str = "fit", callbacks: Sequence[Callback] = ()) -> TrainingCLI:
    """Parse a configuration and build trainer, task and data.

    Args:
        args: Command-line arguments.
        command: "fit", "validate" or "test".
        callbacks: Callbacks of the Trainer beside those of the configuration.

    Raises:
        InputError: A key, value or file is wrong; the message is the parser's, on one line.
    """
    try:
        return TrainingCLI(args, command, callbacks)
    except InputError:
        raise
    except (ArgumentError, ValueError, TypeError, OSError, MisconfigurationException) as error:
        raise InputError(f"{_broken_config(args)}{one_line(error)}") from None


def as_arguments(configs: Sequence[Path], values: dict[str, Any]) -> list[str]:
    """Command-line arguments of ``fit``: configuration files, then dotted keys with their values."""
    given = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    return [argument for path in configs for argument in ("--config", str(path))] + given


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
    config = cli.plain_config()
    # What is missing or too small is found before anything is written or another process started.
    cli.datamodule.setup("fit")
    cli.datamodule.epoch_sampler(0, processes(trainer))
    checkpoint = run_dir / LAST
    if not checkpoint.exists() and cli.options.weights is not None:
        _start_from(cli, cli.options.weights)
    resume = checkpoint if checkpoint.exists() else None
    if resume is not None:
        _require_as_many_devices(trainer, resume)
    claim(run_dir, config)
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


def _start_from(cli: TrainingCLI, source: str) -> None:
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
    with warnings.catch_warnings():
        # Short epochs are meant, scenes are a few numbers each, and a run that continues finds its own checkpoints.
        for hint in ("smaller than the logging interval", "does not have many workers", "exists and is not empty"):
            warnings.filterwarnings("ignore", message=f".*{hint}.*")
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


def _broken_config(args: list[str]) -> str:
    """The first configuration file that is no YAML mapping, to begin a message with; the parser does not name it."""
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scan.add_argument("-c", "--config", action="append", default=[])
    try:
        files = scan.parse_known_args(args)[0].config
    except (ArgumentError, argparse.ArgumentError):
        return ""
    for file in files:
        try:
            broken = not isinstance(yaml.safe_load(Path(file).read_text()), dict)
        except OSError:
            continue
        except (ValueError, yaml.YAMLError):
            broken = True
        if broken:
            return f"{file}: "
    return ""


def _results(cli: TrainingCLI, config: dict[str, Any], measured: Any, role: str, overrides: dict[str, Any]) -> Results:
    task, data, trainer = cli.model, cli.datamodule, cli.trainer
    values = {name.removeprefix("test/"): float(value) for name, value in measured.items()}
    names = ("ssim", "psnr", "lpips")
    device = trainer.strategy.root_device
    samples = trainer.global_step * data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
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
        hardware={
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "devices": trainer.world_size,
            "processor": processor(),
            "threads": torch.get_num_threads(),
        },
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
