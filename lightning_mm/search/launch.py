"""Several workers on this machine: one process per device, watched, replaced when they are killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lightning_mm.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, InputError, Interrupted
from lightning_mm.search.slots import MAX_ATTEMPTS
from lightning_mm.search.state import write_state
from lightning_mm.search.study import Sweep
from lightning_mm.search.worker import HURRY_S, LAUNCHER
from lightning_mm.signals import stop_wished

_POLL_S, _STOP_S = 1.0, 60.0
_STOPPED = "interrupted; run the same command again to continue"


def default_workers() -> int:
    """One per GPU that this process may use; one on a machine without."""
    return max(1, len(gpus()))


def worker_environment(number: int, workers: int) -> dict[str, str]:
    """Environment of one of several workers: its device, and its share of the processor's threads.

    Args:
        number: Number of the worker, from 0.
        workers: Number of workers.
    """
    environment = {**os.environ, LAUNCHER: str(os.getpid())}
    if devices := gpus():
        environment["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    elif "OMP_NUM_THREADS" not in os.environ and workers > 1:
        environment["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // workers))
    return environment


@dataclass
class Launcher:
    """Starts workers of a sweep and waits for them.

    Attributes:
        sweep: The sweep.
        command: The command line of a worker.
        workers: How many.
        announce: Called with each line that a worker prints, and with one when a worker dies.
    """

    sweep: Sweep
    command: Sequence[str]
    workers: int
    announce: Callable[[str], None]

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Run until every worker has nothing left to do.

        Args:
            progress: Called with (models finished, models in all) about once a second.

        Raises:
            InputError: A worker found its input wrong.
            Interrupted: By SIGINT or SIGTERM; every worker has ended and queued its model again.
            RuntimeError: A worker ended by a fault of the program; its own output says which.
        """
        running: dict[int, subprocess.Popen] = {}
        replaced = 0
        try:
            # A signal is acted upon between steps: in the middle of one, a worker could start that nobody knows of.
            with stop_wished(self._hurry) as stop:
                for number in range(self.workers):
                    running[number] = self._start(number)
                while running and not stop.wait(_POLL_S):
                    progress(self.sweep.finished(), self.sweep.spec.runs)
                    for number, process in list(running.items()):
                        if (code := process.poll()) is None:
                            continue
                        del running[number]
                        self._reap()
                        replaced += self._replace(number, code, running, replaced)
            if stop.is_set():
                raise Interrupted(_STOPPED)
        finally:
            end_processes(running.values())
            self._reap()
            write_state(self.sweep, self.announce)

    def _replace(self, number: int, code: int, running: dict[int, subprocess.Popen], replaced: int) -> int:
        """Start another worker where one was killed; 1 if so."""
        if code == 0:
            return 0
        if code == EXIT_BAD_INPUT:
            raise InputError(f"worker {number} cannot work, as it says above")
        if code == EXIT_INTERRUPTED:
            raise Interrupted(_STOPPED)
        if code > 0 or replaced >= MAX_ATTEMPTS * self.sweep.spec.runs:
            raise RuntimeError(f"worker {number} ended with exit code {code}; its output above says why")
        self.announce(f"worker {number} was killed ({signal.Signals(-code).name}); starting another")
        running[number] = self._start(number)
        return 1

    def _hurry(self) -> None:
        self.sweep.storage.patience = HURRY_S

    def _reap(self) -> None:
        for board in self.sweep.boards:
            for line in board.reap():
                self.announce(line)

    def _start(self, number: int) -> subprocess.Popen:
        # Of its own session: Ctrl-C reaches the launcher alone, which passes it on once.
        # The address by the environment: command lines can be read by every user of the machine, passwords included.
        environment = {**worker_environment(number, self.workers), "OPTUNA_STORAGE": self.sweep.storage.url}
        process = subprocess.Popen(
            self.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._pass_on, args=(process,), daemon=True).start()
        return process

    def _pass_on(self, process: subprocess.Popen) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.announce(line.rstrip())


def worker_command(study: str, directory: str, more: Sequence[str] = ()) -> list[str]:
    """Command line of a worker, run by this interpreter."""
    options = ["--study", study, "--dir", directory, *more]
    return [sys.executable, "-m", "lightning_mm", "sweep", "worker", *options]


def end_processes(processes: Iterable[subprocess.Popen]) -> None:
    """Ask processes to end, wait for them, and kill those that don't within a minute."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + _STOP_S
    for process in alive:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
