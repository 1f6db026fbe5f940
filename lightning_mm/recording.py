"""Where a run goes and how it is recorded: its directory and its loggers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities import rank_zero_only

from lightning_mm.errors import InputError
from lightning_mm.runs import Results, write_text_atomically
from lightning_mm.tracking.run import Mode, RunLogger, resolve_mode

CONFIG_FILE = "config.yaml"
LAST = Path("checkpoints/last.ckpt")


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and how it is recorded.

    Args:
        dir: Directory of the run. Running again with the same configuration continues from its last checkpoint, or does
            nothing when the run is finished.
        wandb: Log to Weights & Biases: "offline" needs no account and is uploaded by ``publish`` later, "online" needs
            a key. Left out, the environment variable WANDB_MODE decides (online, offline or disabled), and where it is
            not set either, nothing is logged there.
        wandb_group: Group of the run there, such as the study it belongs to.
        wandb_job_type: What the run is for there: "train", or in a sweep "search", "reference" or "variant".
        wandb_tags: Tags of the run there.
        ema_decay: Decay of an exponential moving average of the weights, such as 0.999, which is then what is validated
            and saved; 0 for none.
        weights: Weights to start from: the name of some that ship, a weights file or a checkpoint, of the same
            architecture. Random ones when left out.
        latency_size: Side of the square frames on which milliseconds per frame are measured when training has ended; 0
            for no such measurement.
    """

    dir: Path = Path("runs/magnifier")
    wandb: Mode | None = None
    wandb_group: str | None = None
    wandb_job_type: str = "train"
    wandb_tags: tuple[str, ...] = ()
    ema_decay: float = 0.0
    weights: str | None = None
    latency_size: int = 384

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"run.ema_decay = {self.ema_decay!r}: must be in [0, 1)")
        if self.latency_size < 0:
            raise ValueError(f"run.latency_size = {self.latency_size}: must be >= 0")


def claim(run_dir: Path, config: dict[str, Any]) -> None:
    """Take a run directory, or refuse one that holds another configuration's training.

    Raises:
        InputError: The directory holds a run of another configuration (the message names the first key that differs),
            or cannot be written.
    """
    path = run_dir / CONFIG_FILE
    try:
        if path.exists() and (run_dir / LAST).exists():
            before, now = (_flatten(_identity(c)) for c in (yaml.safe_load(path.read_text()), config))
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) != now.get(key):
                    was, is_ = before.get(key), now.get(key)
                    advice = "choose another directory, or delete it"
                    raise InputError(f"{run_dir}: holds a run with {key} = {was}, not {is_}; {advice}")
        rank_zero_only(write_text_atomically)(path, yaml.safe_dump(config, sort_keys=False))
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
    return identity | {"run": {key: config["run"].get(key) for key in ("ema_decay", "weights")}}


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def build_loggers(options: RunOptions) -> list[Logger]:
    """CSV always, Weights & Biases when asked for.

    Raises:
        InputError: Weights & Biases is to be "online" and there is no key, or WANDB_MODE is none of its modes.
    """
    loggers: list[Logger] = [CSVLogger(save_dir=options.dir, name="logs")]
    mode = resolve_mode(options.wandb)
    if mode != "off":
        labels = (options.wandb_group, options.wandb_job_type, options.wandb_tags)
        loggers.append(RunLogger(options.dir, mode, *labels))
    return loggers


def log_summary(logger: Logger, results: Results, samples: Path) -> None:
    """Put what a trade-off plot needs into a W&B run."""
    if isinstance(logger, RunLogger):
        logger.log_summary(results, samples)


def close_loggers(loggers: list[Logger]) -> None:
    """End a W&B run, however the training ended: the next run of this process would else share it."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.close()
