"""Training by several processes: what happens when one of them, or the user, ends it.

Three launchers are served. Without one, Lightning's main process is rank 0 and starts the other ranks of its node: they
follow it. Under ``torchrun`` and SLURM every rank is started from outside, and gets the signals from there.
"""

import errno
import os
import signal
import subprocess
import threading
import time
from datetime import timedelta
from types import FrameType

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from lightning_mm.errors import InputError, Interrupted, one_line

SETUP_TIMEOUT = timedelta(minutes=30)
# How long a rank waits for the others; torch's own 10 (NCCL) and 30 minutes (gloo) are long for a rank that is gone.
COLLECTIVE_TIMEOUT = timedelta(seconds=120)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def processes(trainer: L.Trainer) -> int:
    """Number of training processes on all nodes; known before they are started, unlike ``trainer.world_size``."""
    return trainer.num_devices * trainer.num_nodes


def allow_setup(trainer: L.Trainer) -> None:
    """Let ranks wait for one another while textures and data sets are being read, whichever way DDP was asked for."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._timeout = SETUP_TIMEOUT


class ShortWaits(Callback):
    """Lets no rank wait for the others longer than ``COLLECTIVE_TIMEOUT`` once training has begun."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Shorten the time that the group of processes allows."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.distributed_c10d._set_pg_timeout(COLLECTIVE_TIMEOUT)


def check_launcher(trainer: L.Trainer) -> None:
    """Refuse what was not started as one training of as many processes as the configuration says.

    Raises:
        InputError: The strategy starts processes in a way that is not supported, or torchrun or SLURM has started
            another number of processes.
    """
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise InputError("trainer.strategy: processes that are forked or spawned are not supported; use ddp")
    environment = getattr(trainer.strategy, "cluster_environment", None)
    try:
        if environment is not None:
            environment.validate_settings(num_devices=trainer.num_devices, num_nodes=trainer.num_nodes)
    except ValueError as error:
        raise InputError(f"trainer.devices, trainer.num_nodes: {one_line(error)}") from None
    started = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else None
    if started not in (None, processes(trainer)):
        raise InputError(
            f"torchrun has started {started} processes, the configuration makes {processes(trainer)}: "
            "trainer.devices (per node) and trainer.num_nodes must say as many, with trainer.strategy ddp"
        )


class Interruptible:
    """Turns what ends a training from outside into ``Interrupted``: SIGINT, SIGTERM, a lost process, a full disk.

    Args:
        trainer: The Trainer that runs within.
        advice: How to go on, to end the message with.
    """

    def __init__(self, trainer: L.Trainer, advice: str) -> None:
        self.trainer, self.advice = trainer, advice
        self.signalled = False
        self.children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> None:
        # Lightning's handler of SIGTERM begins a collective from inside a step, which can wait for ever, and the one
        # for SLURM saves in the middle of an epoch, from where a run cannot be continued exactly.
        self.trainer._signal_connector.register_signal_handlers = lambda: None
        self.before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if _follows_main(self.trainer):
            threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True, name="main-process-observer").start()
            if _in_main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the main process decides
        elif _in_main_thread():
            for number in self.before:
                signal.signal(number, self._stop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if _in_main_thread():
            for number, handler in self.before.items():
                signal.signal(number, handler)
        if error is not None:
            self._take_children()
            for child in self.children:
                child.kill()
                child.wait()
        reason = self._reason(error)
        if reason is not None:
            raise Interrupted(f"{reason} at step {self.trainer.global_step}; {self.advice}") from None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.signalled = True
        self._take_children()
        raise KeyboardInterrupt

    def _take_children(self) -> None:
        """Take the ranks that this process started from Lightning's observer: it kills this process when they end."""
        launched = getattr(self.trainer.strategy.launcher, "procs", [])
        self.children += launched
        launched.clear()

    def _reason(self, error: BaseException | None) -> str | None:
        stopped = isinstance(error, SystemExit | None) and self.trainer.interrupted
        if self.signalled or stopped or isinstance(error, KeyboardInterrupt):
            return "interrupted"
        if isinstance(error, OSError) and error.errno in _FULL:
            return f"{error.filename or self.trainer.default_root_dir}: {error.strerror},"
        if processes(self.trainer) > 1 and _is_lost_connection(error):
            return "another process of this training has ended or hangs,"
        return None


def _follows_main(trainer: L.Trainer) -> bool:
    """Whether this rank was started by Lightning's main process, rank 0 of its node."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and trainer.local_rank > 0


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _is_lost_connection(error: BaseException | None) -> bool:
    # Gloo raises plain RuntimeErrors that name its source files.
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
