"""A worker: one process that trains a sweep's models on one device, one after another, until all have ended."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from lightning_mm.errors import InputError, Interrupted, first_line
from lightning_mm.search.holder import BEAT_S
from lightning_mm.search.objective import Outcome, TakenOverError
from lightning_mm.search.slots import Board, Slot
from lightning_mm.search.state import write_state
from lightning_mm.search.study import Sweep
from lightning_mm.signals import terminable

LAUNCHER = "LIGHTNING_MM_LAUNCHER"
"""Environment variable with the process number of the launcher, which its workers do not outlive."""

INFEASIBLE_PER_SLOT = 100
"""Proposals per trial to reach that may miss the constraints before a sweep gives up."""

_POLL_S, _STATE_S = 1.0, 5.0
HURRY_S = 5.0
"""Seconds for the database where somebody waits for this process to end."""

Train = Callable[[Slot, Trial, Callable[[], bool]], Outcome]


@dataclass
class Worker:
    """Trains what waits; returns when every model of the sweep has an outcome.

    Attributes:
        sweep: The sweep.
        train: Trains the model of a slot, as ``Objective`` does.
        announce: Called with a line of text when something begins or ends.
        advice: How to continue, for the message of an interruption.
        beat: Seconds between two signs of life.
    """

    sweep: Sweep
    train: Train
    announce: Callable[[str], None] = field(default=lambda line: None)
    advice: str = "run the same command again to continue"
    beat: float = BEAT_S
    _state_written: float = 0.0

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Work until nothing is left to do, by this process or another.

        Args:
            progress: Called with (models finished, models in all) after each.

        Raises:
            InputError: This machine cannot train a model (a folder is missing, say), or next to no proposal meets the
                constraints. What it held is queued again.
            Interrupted: By SIGINT or SIGTERM, or the storage is gone. What it held is queued again.
        """
        with _Pulse(self.sweep.boards, self.beat) as pulse, terminable():
            try:
                self._run(pulse, progress)
            except KeyboardInterrupt:
                self.sweep.storage.patience = HURRY_S
                raise Interrupted(f"interrupted; {self.advice}") from None
            finally:
                self._write_state()

    def _run(self, pulse: "_Pulse", progress: Callable[[int, int], None]) -> None:
        while True:
            for line in pulse.reap():
                self.announce(line)
            progress(done := self.sweep.finished(), self.sweep.spec.runs)
            self._write_state(every=_STATE_S)
            if done >= self.sweep.spec.runs:
                for board in self.sweep.boards:
                    board.drop_leftovers()
                return
            self.sweep.fill()
            board, claimed = self._claim()
            if board is not None and claimed is not None:
                self._work(pulse, board, *claimed)
            else:
                time.sleep(_POLL_S)  # others train the last ones, and may die over them

    def _claim(self) -> tuple[Board | None, tuple[Slot, Trial] | None]:
        for board in self.sweep.boards:
            if (claimed := board.claim()) is not None:
                return board, claimed
        return None, None

    def _work(self, pulse: "_Pulse", board: Board, slot: Slot, trial: Trial) -> None:
        pulse.hold(board, trial)
        try:
            outcome = self.train(slot, trial, pulse.mine)
        except (Interrupted, KeyboardInterrupt) as error:
            reason = str(error).split(";")[0] or "interrupted"
            self.sweep.storage.patience = HURRY_S
            board.give_back(trial, reason)
            raise Interrupted(f"{slot.key}: {reason}; {self.advice}") from error
        except InputError as error:
            board.give_back(trial, f"not on this machine: {first_line(error)}", counts=True)
            raise
        except (TakenOverError, UpdateFinishedTrialError):
            self.announce(f"{slot.key}: was taken to be dead; another worker has it now")
            return
        except Exception as error:
            board.finish(trial, TrialState.FAIL, None, f"{type(error).__name__}: {first_line(error)[:300]}")
            raise
        finally:
            pulse.release()
        if outcome.infeasible:
            board.reject(slot, trial, outcome.reason or "")
            self._give_up_if_hopeless(board)
            return
        board.finish(trial, outcome.state, outcome.values, outcome.reason)
        failed = "failed: " if outcome.state == TrialState.FAIL else ""
        self.announce(f"{slot.key}: {failed}{outcome.note}")

    def _write_state(self, every: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._state_written < every:
            return
        self._state_written = now
        write_state(self.sweep, self.announce)

    def _give_up_if_hopeless(self, board: Board) -> None:
        found, limit = board.infeasible(), INFEASIBLE_PER_SLOT * max(1, self.sweep.spec.target)
        if found >= limit:
            raise InputError(
                f"constraints {self.sweep.spec.constraints}: {found} proposals missed them, more than "
                f"{INFEASIBLE_PER_SLOT} per trial; widen the space or the constraints"
            )


class _Pulse:
    """A thread that leaves signs of life for the trial at hand and notices processes that have stopped doing so."""

    def __init__(self, boards: list[Board], seconds: float) -> None:
        self.boards, self.seconds = boards, seconds
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._held: tuple[Board, Trial] | None = None
        self._lines: list[str] = []
        self._lost = False
        self._thread = threading.Thread(target=self._beat, daemon=True, name="pulse")

    def __enter__(self) -> "_Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def hold(self, board: Board, trial: Trial) -> None:
        """Leave signs of life for a trial from now on."""
        self._lost = False
        self._held = (board, trial)

    def release(self) -> None:
        """Leave no more of them."""
        self._held = None

    def mine(self) -> bool:
        """Whether the trial at hand is still this process's."""
        return not self._lost

    def reap(self) -> list[str]:
        """Queue again what dead processes held; lines about it, earlier ones of the thread's included."""
        with self._lock:
            found = [line for board in self.boards for line in board.reap()]
            lines, self._lines = [*self._lines, *found], []
        return lines

    def _beat(self) -> None:
        number, launcher = 0, os.environ.get(LAUNCHER)
        while not self._stop.wait(self.seconds):
            number += 1
            if launcher and os.getppid() != int(launcher):
                os.kill(os.getpid(), signal.SIGTERM)  # the launcher is gone: end as if it had said so
                return
            try:
                if (held := self._held) is not None and not held[0].beat(held[1], number) and self._held is held:
                    self._lost = True
                lines = self.reap()
            except Exception:
                continue  # what is wrong with the storage the main thread meets as well; a later beat may arrive
            with self._lock:
                self._lines += lines
