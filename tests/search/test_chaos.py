"""Several workers on one study: some are killed, the server goes away, all want the next trial at once.

``CHAOS_ROUNDS=10`` (``make chaos``) kills ten times as often on each storage, and runs 1,000 trials.
"""

import os
import random
import signal
import time

import optuna
import pytest
from optuna.trial import TrialState

from lightning_mm.search.slots import MAX_ATTEMPTS

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
TRIALS = 16


@pytest.mark.timeout(280)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_of_four_workers_are_killed(number, url, open_sweep, start_workers):
    sweep = open_sweep(url, trials=TRIALS)
    generator = random.Random(number)
    workers = start_workers(url, sweep.directory, 0.3, 4)
    while sweep.finished() < 2:  # they are at work
        time.sleep(0.05)
        assert workers.running(), workers.said
    for pid in workers.pids[:2]:
        time.sleep(generator.uniform(0.0, 0.6))
        os.kill(pid, signal.SIGKILL)
    assert workers.wait() == [-signal.SIGKILL, -signal.SIGKILL, 0, 0], workers.said
    assert "locked" not in workers.said

    boards = {board.study.study_name: board for board in sweep.boards}
    trials = {name: optuna.load_study(study_name=name, storage=sweep.storage).trials for name in boards}
    for name, found in trials.items():
        assert {t.state for t in found} <= {TrialState.COMPLETE, TrialState.FAIL}
        assert all("died" in t.user_attrs["reason"] for t in found if t.state == TrialState.FAIL)
        complete = [t.user_attrs["slot"] for t in found if t.state == TrialState.COMPLETE]
        assert sorted(complete) == sorted(boards[name].slots)  # every slot once: the target, and nothing twice
        assert all(t.user_attrs.get("attempt", 1) <= MAX_ATTEMPTS for t in found)
    lost = [t for found in trials.values() for t in found if t.state == TrialState.FAIL]
    assert len(lost) <= 2  # a process holds one trial at most
    for trial in lost:  # the retry has the values that the dead process had drawn
        again = next(t for t in trials["tiny"] if t.user_attrs["slot"] == trial.user_attrs["slot"] and t != trial)
        assert trial.params.items() <= again.params.items()

    log = (sweep.directory / "log.txt").read_text().splitlines()
    ended = [line.split()[1:3] for line in log if line.startswith("end")]
    assert len(ended) == len({tuple(words) for words in ended}) + _ended_just_before_death(lost, ended)

    searched = trials["tiny"]
    complete = [t for t in searched if t.state == TrialState.COMPLETE]
    front = [
        t
        for t in complete
        if not any(o.values[0] >= t.values[0] and o.values[1] <= t.values[1] and o.values != t.values for o in complete)
    ]
    best = optuna.load_study(study_name="tiny", storage=sweep.storage).best_trials
    assert {t.number for t in best} == {t.number for t in front}


@pytest.mark.timeout(280)
def test_a_server_that_goes_away_for_a_while_stops_nobody(postgres, open_sweep, start_workers):
    url = postgres.database()
    sweep = open_sweep(url, trials=TRIALS)
    workers = start_workers(url, sweep.directory, 0.3, 3)
    while sweep.finished() < 3:
        time.sleep(0.05)
        assert workers.running(), workers.said
    postgres.stop()
    time.sleep(3)
    postgres.start()
    assert workers.wait() == [0, 0, 0], workers.said
    assert "does not answer" in workers.said
    assert "answers again after" in workers.said
    trials = [trial for board in sweep.boards for trial in board.trials()]
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    assert all(t.user_attrs["reason"].startswith("queued twice") for t in trials if t.state == TrialState.FAIL)
    assert sorted(t.user_attrs["slot"] for t in trials if t.state == TrialState.COMPLETE) == sorted(
        key for board in sweep.boards for key in board.slots
    )


@pytest.mark.timeout(280 if ROUNDS == 1 else 3000)
def test_trials_that_take_no_time_meet_no_lock(url, open_sweep, start_workers):
    number = 40 if ROUNDS == 1 else 1000
    sweep = open_sweep(url, trials=number, sampler="random", references={})
    workers = start_workers(url, sweep.directory, 0.0, 4)
    assert (workers.wait(), workers.said) == ([0] * 4, "")
    complete = [t.user_attrs["slot"] for t in sweep.searched.trials()]
    assert (len(complete), len(set(complete))) == (number, number)


def _ended_just_before_death(lost, ended):
    """Trainings that were done twice because a process died between the end of one and telling the study."""
    keys = [tuple(words) for words in ended]
    return sum(keys.count(tuple(trial.user_attrs["slot"].split())) > 1 for trial in lost)
