"""From a trained magnifier to a smaller one: train with switches, cut, fine-tune (the paper's Section 5.1).

::

    RUN_DIR/
      switches/            the run with switches, as of ``fit``, without averaged weights
      cut.safetensors      what was left, before fine-tuning
      removal.json         see Removal
      removal.html         omegas over steps
      finetune.yaml        configuration of the fine-tuning, whose run this directory is: results.json and so on
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse.typing import NonNegativeInt
from lightning.pytorch.cli import LightningArgumentParser

from lightning_mm.configuration import TrainingCLI, build, check_data, without_hints
from lightning_mm.cost import cost
from lightning_mm.distributed import Interruptible, processes
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.models.removal import remaining
from lightning_mm.models.switches import cut
from lightning_mm.recording import LAST, close_loggers
from lightning_mm.removal.record import REMOVAL_FILE, Removal
from lightning_mm.runs import Results, write_text_atomically
from lightning_mm.tasks.prune import PruneTask
from lightning_mm.training import fit, prepare, start_from
from lightning_mm.weights import WeightsInfo, read_weights, write_weights
from lightning_mm.weights.checkpoint import read_checkpoint
from lightning_mm.weights.loading import is_checkpoint, locate

SWITCHES, CUT_FILE, FINETUNE_FILE = "switches", "cut.safetensors", "finetune.yaml"
BASELINE = "baseline"


class PruneCLI(TrainingCLI):
    """The options of ``fit``, those of ``RemovalConfig`` under model.removal, and the epochs of fine-tuning.

    Attributes:
        run_dir: ``--run.dir`` as given; the training with switches has a directory within.
        ema_decay: ``--run.ema_decay`` as given, which is for the fine-tuning.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--finetune_epochs``."""
        super().add_arguments_to_parser(parser)
        about = "Epochs of training behind the cut, on the task's loss alone; 0 only measures what was cut. With"
        about += " switches, --trainer.max_epochs are trained before."
        parser.add_argument("--finetune_epochs", type=NonNegativeInt, default=10, help=about)

    def before_instantiate_classes(self) -> None:
        """Lead the training with switches into a directory of its own, from weights that there must be."""
        super().before_instantiate_classes()
        run = self.config.run
        self.run_dir, self.ema_decay = Path(run.dir), run.ema_decay
        run.dir, run.ema_decay = self.run_dir / SWITCHES, 0.0
        if run.weights is None:
            arch = MagnifierConfig(**{name: self.config.model.arch[name] for name in MagnifierConfig().to_dict()})
            if arch.canonical() != MagnifierConfig.baseline():
                accepted = "trained weights of the architecture, a file or a checkpoint"
                raise InputError(
                    f"run.weights: not given; must be {accepted} (only the paper's baseline has a default)"
                )
            run.weights = BASELINE


def check(args: list[str]) -> None:
    """Find what is wrong with arguments of ``prune`` without writing or rendering anything.

    Raises:
        InputError: The configuration, the folders of the data or the weights are wrong.
    """
    cli = _build(args)
    check_data(cli)
    assert cli.options.weights is not None
    start_from(cli, cli.options.weights)


def prune(args: list[str], role: str = "run", overrides: dict[str, Any] | None = None) -> Results:
    """Learn which components can go, cut them, fine-tune, and write the results; or continue.

    Args:
        args: Command-line arguments as of ``fit``, with ``--model.removal.part``, ``--model.removal.component`` and
            optionally the other fields of ``RemovalConfig``, and ``--finetune_epochs``.
        role: Role that the results carry; see ``Results``.
        overrides: Hyperparameters that distinguish the run beside those of the removal.

    Returns:
        Results of what was left behind fine-tuning, also when the run was finished before; those of the removal are in
        ``removal.json`` of the run directory.

    Raises:
        InputError: The configuration is wrong, or the run directory belongs to another one.
        Interrupted: Stopped; the last checkpoint of the step that was running stands.
        TrainingDivergedError: The loss became infinite or NaN.
    """
    cli = _build(args)
    task, run_dir = _task(cli), cli.run_dir
    removal = _learned(cli)
    config = cli.plain_config()
    del config["model"]["removal"], config["finetune_epochs"]
    config["model"]["arch"] = removal.arch
    config["run"] |= {"dir": str(run_dir), "ema_decay": cli.ema_decay, "weights": str(run_dir / CUT_FILE)}
    config["trainer"]["max_epochs"] = int(cli.config.finetune_epochs)
    path = run_dir / FINETUNE_FILE
    write_text_atomically(path, yaml.safe_dump(config, sort_keys=False))
    settings = {f"model.removal.{name}": value for name, value in asdict(task.removal).items()}
    return fit(["--config", str(path)], role, {**settings, **(overrides or {})})


def _build(args: list[str]) -> PruneCLI:
    cli = build(args, "prune", task=PruneTask, cli=PruneCLI)
    if processes(cli.trainer) > 1:
        raise InputError(
            f"trainer.devices: {processes(cli.trainer)} processes; prune trains on one, --trainer.devices=1"
        )
    epochs = cli.trainer.max_epochs
    if epochs is None or epochs < 1:
        raise InputError(f"trainer.max_epochs = {epochs}: must be >= 1, for the training with switches")
    return cli


def _task(cli: PruneCLI) -> PruneTask:
    assert isinstance(cli.model, PruneTask)
    return cli.model


def _learned(cli: PruneCLI) -> Removal:
    """Train with switches and cut, unless that is done."""
    run_dir, epochs = cli.run_dir, cli.trainer.max_epochs
    done = Removal.read(run_dir) if (run_dir / REMOVAL_FILE).exists() else None
    if (run_dir / LAST).exists() and (done is None or done.epochs != epochs):
        found = "another training" if done is None else f"a cut after {done.epochs} epochs with switches, not {epochs}"
        raise InputError(f"{run_dir}: holds {found}; choose another directory, or delete it")
    resume = prepare(cli)
    if done is not None and done.epochs == epochs:
        return done
    task, trainer = _task(cli), cli.trainer
    try:
        with Interruptible(trainer, "run the same command again to continue"), without_hints():
            trainer.fit(task, datamodule=cli.datamodule, ckpt_path=resume, weights_only=True)
    finally:
        close_loggers(trainer.loggers)
    return _cut(cli, task)


def _cut(cli: PruneCLI, task: PruneTask) -> Removal:
    """Cut what the last checkpoint says, and write what is left and how it came to it."""
    from lightning_mm.reporting.removal import write_removal

    run_dir, options, settings = cli.run_dir, cli.options, task.removal
    checkpoint = read_checkpoint(options.dir / LAST)
    task.configure_model()
    task.load_state_dict(checkpoint["state_dict"], strict=False)
    task.on_load_checkpoint(checkpoint)
    omegas, steps = task.omegas, int(checkpoint["global_step"])
    if task.curve[-1][0] < steps:
        task.curve.append((steps, list(omegas.values())))
    cut(task.magnifier, settings.threshold)
    arch, state = remaining(task.magnifier)
    figures = [cost(one) for one in (task.arch, arch)]
    before, after = ({"params": one.params, "paper_flops": one.paper_flops} for one in figures)
    assert options.weights is not None
    assert cli.trainer.max_epochs is not None
    removal = Removal(
        settings=asdict(settings),
        weights=options.weights,
        epochs=cli.trainer.max_epochs,
        steps=steps,
        components=[
            {"name": name, "omega": omega, "removed": omega > settings.threshold} for name, omega in omegas.items()
        ],
        curve={
            "steps": [step for step, _ in task.curve],
            "omegas": {name: [values[n] for _, values in task.curve] for n, name in enumerate(omegas)},
        },
        before=before,
        after=after,
        arch=arch.to_dict(),
    )
    write_weights(run_dir / CUT_FILE, state, arch, _info(options.weights, removal, cli.datamodule.batch_size))
    write_removal(removal, run_dir)
    removal.write(run_dir)  # last, for it says that all of this is done
    return removal


def _info(source: str, removal: Removal, batch_size: int) -> WeightsInfo:
    """Where the weights of what is left come from."""
    stretch = {"what": "with switches", "steps": removal.steps, "samples": removal.steps * batch_size}
    description = f"Cut out of {source}, not fine-tuned: {removal.description}."
    if is_checkpoint(source):
        known = f"that of {source}"
        return WeightsInfo(description, {}, [stretch], known, known)
    info = read_weights(locate(source)).info
    return replace(info, description=description, metrics={}, log=[*info.log, stretch])
