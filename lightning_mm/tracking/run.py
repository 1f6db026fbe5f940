"""One W&B run per run directory, written through Lightning's logger.

A run directory keeps the id of its W&B run, so that a training which is stopped and started again goes on as the same
run. Its configuration is the tree of ``config.yaml``: W&B shows its keys dotted (``model.arch.bottleneck``), and panels
address them so; keys that contain dots themselves can't be reached by the panels of ``wandb_workspaces``.
"""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from lightning_mm.errors import InputError, one_line
from lightning_mm.runs import Results, write_text_atomically

Mode = Literal["off", "offline", "online"]

PROJECT = "lightning_mm"
ID_FILE = "wandb_run_id"
STEP = "trainer/global_step"
SAMPLES = "val/samples"
BEST = {"val/ssim": "max", "val/psnr": "max", "val/lpips": "min"}
_MODES: dict[str, Mode] = {
    "": "off",
    "disabled": "off",
    "offline": "offline",
    "dryrun": "offline",
    "online": "online",
    "run": "online",
}


class RunLogger(WandbLogger):
    """The W&B run of a run directory; it begins when training does, so that what is refused leaves nothing behind.

    Args:
        directory: The run directory. ``config.yaml`` must lie in it when training begins.
        mode: "offline" or "online".
        group: Group of the run, such as a study.
        job_type: What the run is for.
        tags: Tags of the run.
    """

    def __init__(
        self,
        directory: Path,
        mode: Literal["offline", "online"],
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        # Lightning's own switch for offline runs would set WANDB_MODE for the rest of the process.
        super().__init__(name=directory.name, save_dir=directory, project=project())
        self._directory = directory
        self._mode: Literal["offline", "online"] = mode
        self._labels: dict[str, Any] = {"group": group, "job_type": job_type, "tags": tuple(tags)}
        self._complete = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run."""
        # In a spawned process Lightning attaches to the run of the process that spawned it.
        if self._experiment is None and getattr(self, "_attach_id", None) is None:
            self._experiment = self._start()
        return super().experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Nothing: the run's configuration, which says more, is in the run from its start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics at a step of the training.

        Offline, W&B numbers the rows of each start from 0, and those of a training that was continued would replace one
        another when they are uploaded: there, the training's step is the number.
        """
        if step is None or self._mode == "online":
            super().log_metrics(metrics, step)
        else:
            self.experiment.log({**metrics, STEP: step}, step=step)

    @rank_zero_only
    def log_summary(self, results: Results, samples: Path) -> None:
        """Put what a trade-off plot needs into the run's summary, and the picture of validation pairs into the run."""
        caption = "rows: fixed validation pairs; columns: frame A, frame B, target, output"
        self.log_image(SAMPLES, [str(samples)], step=results.budget["steps"], caption=[caption])
        self.experiment.summary.update(summary(results))
        self._complete = True

    def close(self) -> None:
        """End the run, as failed where it has no summary yet: the next run of this process must have one of its own."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if self._complete else 1)
            self._experiment = None

    def _start(self) -> Any:
        import wandb
        from wandb.errors import CommError

        if self._mode == "offline":
            # W&B's own error reports would look up a host name.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._id = run_id(self._directory)
        try:
            run = self._begin(self._mode)
        except CommError as error:
            rank_zero_warn(f"W&B: {one_line(error)}; the run is kept offline, 'lightning-mm publish' uploads it")
            wandb.teardown()  # W&B's service keeps the id of a run that could not begin
            self._mode = "offline"
            run = self._begin(self._mode)
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        for name, best in BEST.items():
            run.define_metric(name, step_metric=STEP, step_sync=True, summary=best)
        config = yaml.safe_load((self._directory / "config.yaml").read_text())
        run.config.update(config, allow_val_change=True)
        return run

    def _begin(self, mode: Literal["offline", "online"]) -> Any:
        import wandb
        from wandb.errors import UsageError

        try:
            return wandb.init(
                project=self._project,
                name=self._name,
                dir=self._directory,
                id=self._id,
                resume="allow",
                reinit="create_new",
                mode=mode,
                settings=wandb.Settings(console="off", quiet=True, silent=mode == "offline"),
                **self._labels,
            )
        except (UsageError, ValueError) as error:  # such as another environment variable of W&B's that is wrong
            raise InputError(f"run.wandb = {mode}: {one_line(error)}") from None


def summary(results: Results) -> dict[str, float]:
    """Figures of a finished run for a W&B summary, without those that it doesn't have.

    Returns:
        "params", "paper_gflops", "macs", "latency_ms", "train_seconds", "samples", "steps", the metrics "ssim", "psnr"
        and "lpips", and those of each floor, such as "frame_b_ssim".
    """
    figures: dict[str, float | None] = {
        "params": results.cost["params"],
        "paper_gflops": results.cost["paper_flops"] / 1e9,
        "macs": results.cost["macs"],
        "latency_ms": results.latency.get("ms"),
        **{name: results.budget[name] for name in ("train_seconds", "samples", "steps")},
        **results.metrics,
    }
    for floor, metrics in results.floors.items():
        figures |= {f"{floor}_{name}": value for name, value in metrics.items()}
    return {name: value for name, value in figures.items() if value is not None}


def run_id(directory: Path) -> str:
    """Id of the W&B run that a directory stands for: made at the first call, then kept in the directory.

    Raises:
        InputError: The file that keeps it holds something else.
    """
    path = directory / ID_FILE
    if not path.exists():
        # Not from a generator that a training has seeded: the runs of one seed would all be one.
        write_text_atomically(path, secrets.token_hex(8) + "\n")
    found = path.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found):
        raise InputError(f"{path}: holds {found[:64]!r}, which is no id of a W&B run; delete it for a new run")
    return found


def project() -> str:
    """Project of the runs: the environment variable WANDB_PROJECT, or ``PROJECT``."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def resolve_mode(option: Mode | None) -> Mode:
    """What ``run.wandb`` means: itself, or what the environment variable WANDB_MODE says where it was left out.

    Raises:
        InputError: WANDB_MODE is none of W&B's modes, or the mode is "online" and there is no key.
    """
    named = "run.wandb"
    if option is None:
        named, asked = "WANDB_MODE", os.environ.get("WANDB_MODE", "")
        if asked not in _MODES:
            raise InputError(f"WANDB_MODE = {asked!r}: must be online, offline or disabled")
        option = _MODES[asked]
    if option == "online":
        require_key(f"{named} = online")
    return option


def require_key(what: str) -> None:
    """Refuse to go on where W&B would ask for a key.

    Args:
        what: What needs it, to begin the message with.

    Raises:
        InputError: No key is configured, or one of a wrong form.
    """
    import wandb
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import wbauth

    try:
        host = wandb_setup.singleton().settings.base_url
        found = wbauth.authenticate_session(host=host, source=what, prompt=False, update_session=False)
    except (wandb.Error, ValueError) as error:
        raise InputError(f"{what}: {one_line(error)}") from None
    if found is None:
        raise InputError(f"{what}: needs a key for {host}; set WANDB_API_KEY, or run 'wandb login'")
