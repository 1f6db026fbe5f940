"""Configurations: YAML files and command-line options become typed objects, and what is wrong is said in one line."""

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import lightning as L
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from lightning_mm.callbacks import AtomicCheckpointIO, Stopwatch, standard_callbacks
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.distributed import ShortWaits, allow_setup, check_launcher
from lightning_mm.errors import InputError, one_line
from lightning_mm.recording import RunOptions, build_loggers
from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.tasks.pairs import PairTask
from lightning_mm.weights import read_magnifier
from lightning_mm.weights.loading import ACCEPTED

DEFAULT_WEIGHTS = "proposed"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
BUDGET_PREFIXES = (
    *("data.", "trainer.", "model.optim.", "model.loss.", "model.lpips"),
    *("run.ema_decay", "run.latency_size"),
)
QUIET = {"trainer.enable_progress_bar": False, "trainer.devices": 1}
_Dataclass = TypeVar("_Dataclass")


class TrainingCLI(LightningCLI):
    """LightningCLI for one task and one data module, with strict keys, a run directory and fixed callbacks."""

    _parsers: ClassVar[dict[tuple[object, ...], LightningArgumentParser]] = {}

    def __init__(
        self, args: ArgsType, command: str, callbacks: Sequence[Callback] = (), task: type[PairTask] = MagnifyTask
    ) -> None:
        self.measures, self.more_callbacks = command in ("validate", "test"), callbacks
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # Lightning 2.6.6 calls jsonargparse by deprecated names, and warns of arguments given from Python.
            warnings.simplefilter("ignore")
            super().__init__(
                task,
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

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Take the parser of an earlier build: searches make hundreds, and the parser is half of a build's time."""
        kind = (type(self), self._model_class, main_kwargs["prog"])
        if kind not in self._parsers:
            super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
            self._parsers[kind] = self.parser
        self.parser = copy(self._parsers[kind])  # what is built registers itself with its parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of ``RunOptions``, and the weights where some are measured."""
        parser.add_class_arguments(RunOptions, "run")
        if self.measures:
            about = f"The weights to measure: {ACCEPTED}."
            parser.add_argument("--weights", type=str, default=DEFAULT_WEIGHTS, help=about)

    def before_instantiate_classes(self) -> None:
        """Take the seed of the samples from the training's, and the architecture from the weights that are measured."""
        if self.config.data.seed is None:
            seed = self.config.seed_everything
            self.config.data.seed = seed if isinstance(seed, int) and not isinstance(seed, bool) else 0
        if self.measures:
            arch, self.weights = read_magnifier(self.config.weights)
            for name in arch.to_dict():
                self.config.model.arch[name] = getattr(arch, name)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Build the Trainer with this project's callbacks, loggers and checkpoint writer."""
        self.options: RunOptions = self.config_init["run"]
        if self.measures:
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
        for key in ("limit_val_batches", "limit_test_batches"):
            # Whether 1 is read as 1, one batch, or as 1.0, all, depends on the types that the process has seen before.
            if own[key] is not None:
                raise InputError(f"trainer.{key} = {own[key]:g}: not used here; use --data.val_pairs")
        if own["fast_dev_run"]:
            raise InputError(f"trainer.fast_dev_run = {own['fast_dev_run']}: not used here; use {epochs}")
        callbacks = own["callbacks"] or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        self.stopwatch = Stopwatch()
        callbacks = [*callbacks, *self.more_callbacks, self.stopwatch, ShortWaits()]
        callbacks += standard_callbacks(self.options.dir, self.options.ema_decay)
        trainer = super().instantiate_trainer(
            callbacks=callbacks,
            logger=build_loggers(self.options),
            default_root_dir=self.options.dir,
            plugins=[*(own["plugins"] or []), AtomicCheckpointIO()],
            **kwargs,
        )
        if trainer.precision not in PRECISIONS:
            raise InputError(f"trainer.precision = {trainer.precision}: must be one of {', '.join(PRECISIONS)}")
        check_launcher(trainer)
        allow_setup(trainer)
        return trainer

    def plain_config(self) -> dict[str, Any]:
        """The full resolved configuration as plain types."""
        return yaml.safe_load(self.parser.dump(self.config, skip_none=False))


_CLI = TypeVar("_CLI", bound=TrainingCLI)


def build(
    args: list[str],
    command: str = "fit",
    callbacks: Sequence[Callback] = (),
    task: type[PairTask] = MagnifyTask,
    cli: type[_CLI] = TrainingCLI,
) -> _CLI:
    """Parse a configuration and build trainer, task and data.

    Args:
        args: Command-line arguments.
        command: The command, "fit" or another that trains, or "validate" or "test", which measure weights.
        callbacks: Callbacks of the Trainer beside those of the configuration.
        task: What is trained; "validate" and "test" are for magnifiers.
        cli: What parses, for commands with options of their own.

    Raises:
        InputError: A key, value or file is wrong; the message is the parser's, on one line.
    """
    try:
        return cli(args, command, callbacks, task)
    except InputError:
        raise
    except (ArgumentError, ValueError, TypeError, OSError, MisconfigurationException) as error:
        raise InputError(f"{_broken_config(args)}{one_line(error)}") from None


def check_data(cli: TrainingCLI) -> None:
    """Find folders that are missing and epochs that are too short, without making textures."""
    for key in ("photos", "val_photos", "oh2018"):
        folder = getattr(cli.datamodule, key)
        if folder is not None and not Path(folder).is_dir():
            raise InputError(f"data.{key} = {folder}: no such folder")
    cli.datamodule.epoch_sampler(0, 1)


@contextmanager
def without_hints() -> Iterator[None]:
    """Hear nothing of Lightning's hints about what is meant here.

    Epochs are short, scenes are a few numbers each, and a run that continues finds its own checkpoints.
    """
    with warnings.catch_warnings():
        for hint in ("smaller than the logging interval", "does not have many workers", "exists and is not empty"):
            warnings.filterwarnings("ignore", message=f".*{hint}.*")
        yield


def as_arguments(configs: Sequence[Path], values: dict[str, Any]) -> list[str]:
    """Command-line arguments of ``fit``: configuration files, then dotted keys with their values."""
    given = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    return [argument for path in configs for argument in ("--config", str(path))] + given


def read_dataclass(
    path: Path,
    kind: type[_Dataclass],
    missing: str,
    look: Callable[[ArgumentParser, Namespace], None] = lambda parser, parsed: None,
    files: Callable[[_Dataclass], Iterable[Path]] = lambda built: (),
) -> _Dataclass:
    """Read a YAML file whose keys are the fields of a dataclass.

    Args:
        path: The file.
        kind: The dataclass.
        missing: What is said where there is no such file, and which ones ship.
        look: Called before anything is built with the parser and what it has read; may raise ``ValueError``.
        files: The files that what is built names.

    Raises:
        InputError: The file, or one that it names, is missing, a key is unknown, or a value is wrong.
    """
    if not path.is_file():
        raise InputError(f"{path}: {missing}")
    parser = ArgumentParser(parser_mode="omegaconf", allow_abbrev=False, exit_on_error=False)
    parser.add_class_arguments(kind, nested_key=None)
    try:
        parsed = parser.parse_path(str(path))
        look(parser, parsed)
        built = parser.instantiate(parsed)
        found = kind(**{name: getattr(built, name) for name in kind.__dataclass_fields__})  # pyright: ignore
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    for file in files(found):
        if not file.is_file():
            raise InputError(f"{path}: names {file}, which is no file (paths are relative to the current directory)")
    return found


def require_name(name: str) -> None:
    """Refuse a name that no directory can have."""
    if not name or "/" in name or name.startswith("."):
        raise ValueError(f"name = {name!r}: must be usable as a directory's name")


def require_settings(settings: dict[str, Any], more: tuple[str, ...] = ()) -> None:
    """Refuse dotted keys that are no business of a budget: that begin with none of ``BUDGET_PREFIXES`` and more."""
    for key in settings:
        if not key.startswith(BUDGET_PREFIXES + more):
            raise ValueError(f"settings: {key}: keys begin with {', '.join(BUDGET_PREFIXES + more)}")


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
