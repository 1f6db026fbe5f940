"""Training what a table needs: one run after the other in this process, or several workers with a device each."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_mm.errors import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    InputError,
    Interrupted,
    TrainingDivergedError,
)
from lightning_mm.reproduction.ledger import Ledger
from lightning_mm.reproduction.spec import Job, Kind
from lightning_mm.search.launch import end_processes, worker_environment
from lightning_mm.signals import stop_wished

COMMANDS: dict[Kind, str] = {"training": "fit", "removal": "prune"}
_POLL_S = 0.5

Say = Callable[[str], None]


def command_line(job: Job) -> list[str]:
    """The command that does a job in a process of its own."""
    return [sys.executable, "-m", "lightning_mm", COMMANDS[job.kind], *job.arguments]


def train(jobs: Sequence[Job], ledger: Ledger, workers: int, say: Say) -> None:
    """Do what is missing of some jobs.

    Args:
        jobs: In the order to do them.
        ledger: Of the directory of all runs; starts and divergences are recorded there.
        workers: How many train at a time, one process and device each; with 1, in this process.
        say: Prints a line.

    Raises:
        InputError: An argument of a training is wrong, or another command trains in the directory.
        Interrupted: Stopped; what was trained goes on from its last checkpoint.
        RuntimeError: A worker ended by a fault of the program; what it printed stays in RUN.log.
    """
    if not ledger.missing(jobs):
        return
    with ledger.held():
        ledger.require_same(jobs)
        left = ledger.missing(jobs)
        if workers > 1 and len(left) > 1:
            _Pool(left, ledger, workers, say).run()
        else:
            _one_after_the_other(left, ledger, say)


def _one_after_the_other(left: Sequence[Job], ledger: Ledger, say: Say) -> None:
    for number, job in enumerate(left, start=1):
        say(f"{number}/{len(left)} {job.directory.name}")
        ledger.note(job)
        try:
            _in_this_process(job)
        except TrainingDivergedError as error:
            _note_divergence(ledger, job, str(error), say)


def _in_this_process(job: Job) -> None:
    if job.kind == "removal":
        from lightning_mm.removal.prune import prune

        prune(job.arguments)
    else:
        from lightning_mm.training import fit

        fit(job.arguments)


def _note_divergence(ledger: Ledger, job: Job, reason: str, say: Say) -> None:
    ledger.note(job, diverged=reason)
    say(f"{job.directory.name}: diverged ({reason})")


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen
    log: Path

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"


@dataclass
class _Pool:
    jobs: list[Job]
    ledger: Ledger
    workers: int
    say: Say

    def run(self) -> None:
        waiting, running = list(self.jobs), dict[int, _Running]()
        total = len(waiting)
        try:
            with stop_wished(lambda: None) as wished:
                while waiting or running:
                    for slot in range(self.workers):
                        if slot not in running and waiting:
                            job = waiting.pop(0)
                            self.say(f"{total - len(waiting)}/{total} {job.directory.name}")
                            running[slot] = self._start(slot, job)
                    if wished.wait(_POLL_S):
                        raise Interrupted("interrupted; run the same command again to continue")
                    for slot, one in list(running.items()):
                        if (code := one.process.poll()) is not None:
                            del running[slot]
                            self._finish(one, code)
        finally:
            end_processes(one.process for one in running.values())

    def _start(self, slot: int, job: Job) -> _Running:
        self.ledger.note(job)
        log = job.directory.with_name(f"{job.directory.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as output:
            # Of its own session: Ctrl-C reaches this process alone, which passes it on once.
            process = subprocess.Popen(
                command_line(job),
                env=worker_environment(slot, self.workers),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.ledger.inherited,
            )
        return _Running(job, process, log)

    def _finish(self, one: _Running, code: int) -> None:
        if code == 0:
            one.log.unlink()
            return
        said = one.last_line.removeprefix("lightning-mm: ")
        if code == EXIT_FAILED and said.startswith("training diverged: "):
            _note_divergence(self.ledger, one.job, said.removeprefix("training diverged: "), self.say)
        elif code == EXIT_BAD_INPUT:
            raise InputError(f"{one.job.directory.name}: {said.removeprefix('error: ')}")
        elif code == EXIT_INTERRUPTED:
            raise Interrupted(f"{one.job.directory.name}: {said}")
        else:
            raise RuntimeError(f"{one.job.directory.name} ended with exit code {code}; the end of {one.log}: {said}")
