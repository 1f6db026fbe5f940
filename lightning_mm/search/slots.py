"""The work of a study as slots, each of which ends with one outcome, however many processes try and die.

A slot is a model to be trained: a reference, a variant, or a trial whose values the sampler draws. For each slot the
study holds a waiting trial of Optuna's, which a worker takes, and which ends complete, pruned or failed. Trials that
ended for no reason of their own (their process died, somebody pressed Ctrl-C) carry the attribute "again", and the
worker that noticed queues a new trial for the slot, with the same values, which goes on from the last checkpoint.

Optuna's own heartbeat is not used. It works in ``Study.optimize`` alone, which begins a new trial whenever none waits,
so that parallel workers go beyond the target; it does not notice a process that died before its first beat; and its
thread ends with the first connection that is lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_mm.search.holder import Watch, holder
from lightning_mm.search.storage import PatientStorage

MAX_ATTEMPTS = 3
"""Processes that may die over one slot before it is given up."""

WINDOW = 16
"""Trials that wait at the same time."""

_KEPT = ("slot", "role", "run", "pruned")  # attributes that another attempt has, too
_LIVE = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class Slot:
    """A model to be trained.

    Attributes:
        key: Name of the slot, unique in its study.
        role: "trial", "reference" or "variant".
        name: Name of the reference or variant; the number of the trial.
        params: Values that are given, dotted key to value; the sampler draws the others.
    """

    key: str
    role: str
    name: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """Directory of its run, below that of the study."""
        return f"{self.role}s/{self.name}"


class Board:
    """The slots of one Optuna study.

    Args:
        study: The study.
        storage: Its storage.
        slots: What is to be trained, in order.
        sampler: Makes the sampler of the trial with a number; those of all numbers must share no state.
        watch: Watches the processes that hold trials.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: PatientStorage,
        slots: Sequence[Slot],
        sampler: Callable[[int], optuna.samplers.BaseSampler],
        watch: Watch | None = None,
    ) -> None:
        self.study, self.storage, self.sampler, self.watch = study, storage, sampler, watch or Watch()
        self.slots = {slot.key: slot for slot in slots}
        self._study_id = storage.get_study_id_from_name(study.study_name)

    def trials(self) -> list[FrozenTrial]:
        """Every trial of the study, by number."""
        return self.study.get_trials(deepcopy=False)

    def outcomes(self) -> dict[str, FrozenTrial]:
        """The trial that each finished slot ended with."""
        return {t.user_attrs["slot"]: t for t in reversed(self.trials()) if _is_outcome(t)}

    def finished(self) -> int:
        """Number of slots that have ended."""
        return len(self.outcomes().keys() & self.slots.keys())

    def missing(self) -> list[Slot]:
        """Slots that have neither ended nor a trial that waits or runs."""
        return self._missing(self.trials())

    def _missing(self, trials: Sequence[FrozenTrial]) -> list[Slot]:
        present = {t.user_attrs.get("slot") for t in trials if _has_slot(t)}
        return [slot for key, slot in self.slots.items() if key not in present]

    def fill(self) -> None:
        """Queue the next slots that lack a trial; few at a time, because what waits is read again and again."""
        trials = self.trials()
        if _waiting(trials) >= WINDOW / 2 or not self._missing(trials):
            return
        with self.storage.exclusively(self.study.study_name):
            trials = self.trials()
            for slot in self._missing(trials)[: WINDOW - _waiting(trials)]:
                attempts = [t for t in trials if t.user_attrs.get("slot") == slot.key]
                if attempts and "infeasible" not in attempts[-1].user_attrs:
                    drawn = [trial for trial in attempts if trial.params and "infeasible" not in trial.user_attrs]
                    self._queue_again((drawn or attempts)[-1])  # somebody died between ending it and queueing it again
                else:
                    self.study.enqueue_trial(slot.params, user_attrs=_attributes(slot))

    def claim(self) -> tuple[Slot, Trial] | None:
        """Take the first waiting trial, or ``None`` where none waits; exactly one process gets it."""
        with self.storage.exclusively(self.study.study_name):
            taken = self._take()
        if taken is None:
            return None
        self.study.sampler = self.sampler(taken.number)
        return self.slots[taken.user_attrs["slot"]], Trial(self.study, taken._trial_id)

    def _take(self) -> FrozenTrial | None:
        waiting = self.storage.get_all_trials(self._study_id, deepcopy=False, states=(TrialState.WAITING,))
        for trial in waiting:
            key = trial.user_attrs.get("slot")
            if key not in self.slots:
                continue
            try:
                # First of all, so that there is no moment at which a death would leave a running trial of nobody's.
                self.storage.set_trial_user_attr(trial._trial_id, "holder", holder())
                twin = self._twin(trial)
                if twin is not None:
                    self._end_again(trial, f"queued twice, see trial {twin.number}")
                elif self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return trial
            except UpdateFinishedTrialError:
                continue  # somebody else's: a server that went away takes the lock along
        return None

    def _twin(self, trial: FrozenTrial) -> FrozenTrial | None:
        """An earlier trial of the same slot: a database that goes away can leave one queued twice."""
        same = [t for t in self.trials() if t.user_attrs.get("slot") == trial.user_attrs["slot"]]
        return next((t for t in same if t.number < trial.number and _has_slot(t)), None)

    def finish(self, trial: Trial, state: TrialState, values: Sequence[float] | None, reason: str | None) -> None:
        """End a trial for a reason of its own; nothing happens if it was taken to be dead and ended meanwhile."""
        try:
            if reason is not None:
                trial.set_user_attr("reason", reason)
            self.study.tell(trial, values, state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            pass

    def reject(self, slot: Slot, trial: Trial, reason: str) -> None:
        """End a trial whose values are not admitted, and queue another one for its slot."""
        with self.storage.exclusively(self.study.study_name):
            trial.set_user_attr("infeasible", True)
            self.finish(trial, TrialState.PRUNED, None, reason)
            self.study.enqueue_trial(slot.params, user_attrs=_attributes(slot))

    def drop_leftovers(self) -> None:
        """End the waiting trials of slots that have ended: a database that went away can leave one queued twice."""
        with self.storage.exclusively(self.study.study_name):
            outcomes = self.outcomes()
            for trial in self.trials():
                ended = outcomes.get(trial.user_attrs.get("slot", ""))
                if trial.state == TrialState.WAITING and ended is not None:
                    self._end_again(trial, f"queued twice, see trial {ended.number}")

    def give_back(self, trial: Trial, reason: str, counts: bool = False) -> None:
        """End a trial that is no fault of its own and queue it again.

        Args:
            trial: A trial that this process holds.
            reason: Why it ended.
            counts: Whether it counts as one of the attempts that a slot has.
        """
        self._lose(self.storage.get_trial(trial._trial_id), reason, counts)

    def reap(self) -> list[str]:
        """End the trials whose process is dead and queue them again; lines that say what was done."""
        running = {t.number: t for t in self.trials() if t.state == TrialState.RUNNING}
        signs = {n: (t.user_attrs.get("holder"), t.user_attrs.get("beat")) for n, t in running.items()}
        lines = []
        for number, reason in self.watch.lost(signs).items():
            after = self._lose(running[number], reason, counts=True)
            if after is not None:
                lines.append(f"trial {number} ({running[number].user_attrs['slot']}): {reason}; {after}")
        return lines

    def beat(self, trial: Trial, beat: int) -> bool:
        """Leave a sign of life; whether the trial is still this process's."""
        try:
            self.storage.set_trial_user_attr(trial._trial_id, "beat", beat)
        except UpdateFinishedTrialError:
            return False
        return True

    def infeasible(self) -> int:
        """Number of trials whose values were not admitted."""
        return sum("infeasible" in t.user_attrs for t in self.trials())

    def _lose(self, trial: FrozenTrial, reason: str, counts: bool) -> str | None:
        """What was done with a trial that ended for no reason of its own; ``None`` if another process was first."""
        attempt = trial.user_attrs.get("attempt", 1)
        if counts and attempt >= MAX_ATTEMPTS:
            ended = self._end(trial, {"reason": f"given up after {attempt} attempts; at last {reason}"})
            return "given up" if ended else None
        with self.storage.exclusively(self.study.study_name):
            if not self._end_again(trial, reason):
                return None
            self._queue_again(trial, attempt + counts)
        return "queued again"

    def _end_again(self, trial: FrozenTrial, reason: str) -> bool:
        return self._end(trial, {"reason": reason, "again": True})

    def _end(self, trial: FrozenTrial, attributes: dict[str, Any]) -> bool:
        try:
            for name, value in attributes.items():
                self.storage.set_trial_user_attr(trial._trial_id, name, value)
            return self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return False

    def _queue_again(self, trial: FrozenTrial, attempt: int | None = None) -> None:
        trial = self.storage.get_trial(trial._trial_id)
        attempt = trial.user_attrs.get("attempt", 1) if attempt is None else attempt
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={k: trial.user_attrs[k] for k in _KEPT if k in trial.user_attrs} | {"attempt": attempt},
                system_attrs=trial.system_attrs,
                intermediate_values=trial.intermediate_values,
            )
        )


def _attributes(slot: Slot) -> dict[str, Any]:
    return {"slot": slot.key, "role": slot.role, "run": slot.run}


def _waiting(trials: Sequence[FrozenTrial]) -> int:
    return sum(trial.state == TrialState.WAITING for trial in trials)


def _has_slot(trial: FrozenTrial) -> bool:
    """Whether a trial waits, runs or is an outcome, so that its slot needs no other."""
    return trial.state in _LIVE or _is_outcome(trial)


def _is_outcome(trial: FrozenTrial) -> bool:
    """Whether a slot has ended with this trial."""
    attrs = trial.user_attrs
    if trial.state == TrialState.COMPLETE:  # also where it was taken to be dead while it completed
        return "slot" in attrs
    return trial.state.is_finished() and "slot" in attrs and "again" not in attrs and "infeasible" not in attrs
