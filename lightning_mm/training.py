"""From a configuration to a trained, measured and recorded model: what fit, validate, test and sweeps share."""

import argparse
import logging
import math
import platform
import signal
import threading
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import yaml
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger

from lightning_mm.callbacks import AtomicCheckpointIO, Stopwatch, standard_callbacks, write_samples
from lightning_mm.checkpoints import load_weights, read_magnifier
from lightning_mm.cost import cost
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.errors import InputError, Interrupted, TrainingDivergedError
from lightning_mm.runs import RESULTS_FILE, SAMPLES_FILE, Results, write_text_atomically
from lightning_mm.tasks.magnify import FLOORS, MagnifyTask

CONFIG_FILE = "config.yaml"
LAST = Path("checkpoints/last.ckpt")


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and how it is recorded.

    Args:
        dir: Directory of the run. Running again with the same configuration continues from its last checkpoint, or does
            nothing when the run is finished.
        wandb: Log to Weights & Biases: "offline" needs no account and is synced later, "online" needs a key.
        wandb_group: Group of the run there, such as the study it belongs to.
        ema_decay: Decay of an exponential moving average of the weights, such as 0.999, which is then what is validated
            and saved; 0 for none.
    """

    dir: Path = Path("runs/magnifier")
    wandb: Literal["off", "offline", "online"] = "off"
    wandb_group: str | None = None
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a decay that is none."""
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"run.ema_decay = {self.ema_decay!r}: must be in [0, 1)")


class TrainingCLI(LightningCLI):
    """LightningCLI for one task and one data module, with strict keys, a run directory and fixed callbacks."""

    def __init__(self, args: ArgsType, command: str) -> None:
        self.command = command
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
        """Add the options of ``RunOptions``, and the checkpoint where one is measured."""
        parser.add_class_arguments(RunOptions, "run")
        if self.command != "fit":
            parser.add_argument("--checkpoint", type=Path, required=True, help="The .ckpt file of a run to measure.")

    def before_instantiate_classes(self) -> None:
        """Take the architecture from the checkpoint that is measured, whatever the configuration says."""
        if self.command != "fit":
            arch, self.weights = read_magnifier(self.config.checkpoint)
            for name in arch.to_dict():
                self.config.model.arch[name] = getattr(arch, name)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Build the Trainer with this project's callbacks, loggers and checkpoint writer."""
        self.options: RunOptions = self.config_init["run"]
        if self.command != "fit":
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
        callbacks = [*callbacks, self.stopwatch, *standard_callbacks(self.options.dir, self.options.ema_decay)]
        return super().instantiate_trainer(
            callbacks=callbacks,
            logger=_loggers(self.options),
            default_root_dir=self.options.dir,
            plugins=[*(own["plugins"] or []), AtomicCheckpointIO()],
            **kwargs,
        )

    def plain_config(self) -> dict[str, Any]:
        """The full resolved configuration as plain types."""
        return yaml.safe_load(self.parser.dump(self.config, skip_none=False))


def build(args: list[str], command: str = "fit") -> TrainingCLI:
    """Parse a configuration and build trainer, task and data.

    Args:
        args: Command-line arguments.
        command: "fit", "validate" or "test".

    Raises:
        InputError: A key, value or file is wrong; the message is the parser's, on one line.
    """
    try:
        return TrainingCLI(args, command)
    except InputError:
        raise
    except (ArgumentError, ValueError, TypeError, OSError, MisconfigurationException) as error:
        raise InputError(f"{_broken_config(args)}{one_line(error)}") from None


def fit(args: list[str], role: str = "run", overrides: dict[str, Any] | None = None) -> Results:
    """Train, or continue, one run and write its ``results.json``.

    Args:
        args: Command-line arguments.
        role: Role that the results carry; see ``Results``.
        overrides: Hyperparameters that distinguish the run in its sweep.

    Returns:
        The results, also when the run was finished before.

    Raises:
        InputError: The configuration is wrong, or the run directory belongs to another one.
        Interrupted: Stopped by SIGINT or SIGTERM; the last checkpoint stands.
        TrainingDivergedError: The loss became infinite or NaN.
    """
    cli = build(args)
    run_dir, trainer = cli.options.dir, cli.trainer
    config = cli.plain_config()
    cli.datamodule.setup("fit")  # a folder that is missing is found before anything is written
    _claim(run_dir, config)
    checkpoint = run_dir / LAST
    resume = checkpoint if checkpoint.exists() else None
    if (run_dir / RESULTS_FILE).exists() and (done := Results.read(run_dir)).config == config:
        return done
    if resume is not None and read_magnifier(resume)[0] != cli.model.arch:
        raise InputError(f"{resume}: of another architecture than this configuration's")
    with (
        warnings.catch_warnings(),
        _Interruptible(trainer, f"run the same command again to continue from {checkpoint}"),
    ):
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
    results = _results(cli, config, measured, role, overrides or {})
    if trainer.is_global_zero:
        write_samples(cli.model, cli.datamodule, run_dir / SAMPLES_FILE)
        results.write(run_dir)
        for logger in trainer.loggers:
            _log_summary(logger, results, run_dir / SAMPLES_FILE)
    return results


def evaluate(
    args: list[str], command: Literal["validate", "test"]
) -> tuple[dict[str, float], MagnifyTask, PairDataModule]:
    """Measure a checkpoint on the validation pairs.

    The configuration is the one that the checkpoint's run saved beside it, then what the arguments say.

    Args:
        args: Command-line arguments, ``--checkpoint FILE`` among them.
        command: "validate", or "test", which measures the methods that need no training too.

    Returns:
        Metrics by name, and the task and the data they were measured with.

    Raises:
        InputError: The configuration or the checkpoint is wrong.
    """
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scan.add_argument("--checkpoint", type=Path)
    try:
        checkpoint = scan.parse_known_args(args)[0].checkpoint
    except ArgumentError as error:
        raise InputError(one_line(error)) from None
    saved = checkpoint.parent.parent / CONFIG_FILE if checkpoint is not None else None
    cli = build([*(["--config", str(saved)] if saved is not None and saved.is_file() else []), *args], command)
    load_weights(cli.model.magnifier, cli.weights, str(cli.config.checkpoint))
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


def one_line(error: BaseException) -> str:
    """An error's message without line breaks and without the parser's advice to ask for help."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines) or type(error).__name__


def _results(cli: TrainingCLI, config: dict[str, Any], measured: Any, role: str, overrides: dict[str, Any]) -> Results:
    task, data, trainer = cli.model, cli.datamodule, cli.trainer
    values = {name.removeprefix("test/"): float(value) for name, value in measured.items()}
    names = ("ssim", "psnr", "lpips")
    device = trainer.strategy.root_device
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
            "samples": trainer.global_step * data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "batch_size": data.batch_size * trainer.world_size,
            "crop": data.size,
            "precision": str(trainer.precision),
            "seed": data.seed,
            "train_seconds": round(cli.stopwatch.seconds, 1),
        },
        hardware={
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "processor": _processor(),
            "threads": torch.get_num_threads(),
        },
        config=config,
    )


def _claim(run_dir: Path, config: dict[str, Any]) -> None:
    """Take a run directory, or refuse one that holds another configuration's training."""
    path = run_dir / CONFIG_FILE
    try:
        if path.exists() and (run_dir / LAST).exists():
            before, now = (_flatten(_identity(c)) for c in (yaml.safe_load(path.read_text()), config))
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) != now.get(key):
                    was, is_ = before.get(key), now.get(key)
                    advice = "choose another --run.dir, or delete it"
                    raise InputError(f"{run_dir}: holds a run with {key} = {was}, not {is_}; {advice}")
        write_text_atomically(path, yaml.safe_dump(config, sort_keys=False))
    except OSError as error:
        raise InputError(f"{run_dir}: cannot be written ({error.strerror})") from None


def _identity(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides what is trained."""
    data = {key: value for key, value in config["data"].items() if key != "num_workers"}
    keys = ("precision", "gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches")
    keys += ("limit_train_batches", "overfit_batches")
    trainer = {key: config["trainer"].get(key) for key in keys}
    identity = {
        "seed_everything": config["seed_everything"],
        "model": config["model"],
        "data": data,
        "trainer": trainer,
    }
    return identity | {"run": {"ema_decay": config["run"]["ema_decay"]}}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _loggers(options: RunOptions) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(save_dir=options.dir, name="logs")]
    if options.wandb != "off":
        from lightning.pytorch.loggers import WandbLogger

        options.dir.mkdir(parents=True, exist_ok=True)
        offline = options.wandb == "offline"
        name, group = options.dir.name, options.wandb_group
        project = "lightning_mm"
        loggers.append(WandbLogger(name=name, group=group, project=project, save_dir=options.dir, offline=offline))
    return loggers


def _log_summary(logger: Logger, results: Results, samples: Path) -> None:
    """Put what a trade-off plot needs into W&B's summary and end the run, so that the next one gets its own."""
    from lightning.pytorch.loggers import WandbLogger

    if not isinstance(logger, WandbLogger):
        return
    import wandb

    run = logger.experiment
    figures = {"params": results.cost["params"], "paper_gflops": results.cost["paper_flops"] / 1e9, **results.metrics}
    run.config.update(_flatten(results.config), allow_val_change=True)
    run.summary.update({name: value for name, value in figures.items() if value is not None})
    run.log({"validation pairs: A, B, target, output": wandb.Image(str(samples))})
    wandb.finish()


class _Interruptible:
    """Turns SIGINT and SIGTERM during training into ``Interrupted``."""

    def __init__(self, trainer: L.Trainer, advice: str) -> None:
        self.trainer, self.advice = trainer, advice

    def __enter__(self) -> None:
        self.before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if _in_main_thread():
            signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if _in_main_thread():
            for number, handler in self.before.items():
                signal.signal(number, handler)
        if isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and self.trainer.interrupted):
            raise Interrupted(f"interrupted at step {self.trainer.global_step}; {self.advice}") from None
        if error is None and self.trainer.interrupted:
            raise Interrupted(f"interrupted at step {self.trainer.global_step}; {self.advice}")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
