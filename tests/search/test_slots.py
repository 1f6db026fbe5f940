"""Slots: each ends with one outcome, whatever becomes of the processes that hold its trials."""

import os
import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from lightning_mm.search import slots as module
from lightning_mm.search.holder import Watch, holder, is_gone
from lightning_mm.search.holder import __file__ as holder_file
from lightning_mm.search.slots import MAX_ATTEMPTS, Board


@pytest.fixture
def board(open_sweep, url):
    return open_sweep(url).searched


def other_process():
    """A process that writes its ``holder``, of the file alone: the whole package takes a second to import, and ends."""
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['holder'](), flush=True)"
    return subprocess.Popen([sys.executable, "-c", code, holder_file], stdout=subprocess.PIPE, text=True)


def dead_process():
    """Text of ``holder`` of a process that has ended."""
    who, _ = other_process().communicate(timeout=60)
    return who.strip()


def states(board):
    return [(t.user_attrs["slot"], t.state.name, "again" in t.user_attrs) for t in board.trials()]


def test_holders_are_told_alive_from_dead():
    assert is_gone(holder()) is False
    assert is_gone(dead_process()) is True
    machine, pid, started = holder().rsplit(" ", 2)
    assert is_gone(f"{machine} {pid} {int(started) + 1}") is True  # another process had that number
    assert is_gone(f"elsewhere {pid} {started}") is None


def test_a_process_that_has_ended_but_was_not_waited_for_is_dead():
    process = other_process()
    who = process.stdout.readline().strip()
    process.stdout.read()  # until its end
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert is_gone(who) is True
    process.wait()
    process.stdout.close()


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("lightning_mm.search.holder.time.monotonic", lambda: now[0])
    return now


def test_silence_is_death_after_the_grace_period(clock):
    watch = Watch(grace=60)
    assert watch.lost({7: ("elsewhere 1 2", 1)}) == {}
    for _ in range(3):  # signs of life
        clock[0] += 25
        assert watch.lost({7: ("elsewhere 1 2", clock[0])}) == {}
    for _ in range(2):
        clock[0] += 25
        assert watch.lost({7: ("elsewhere 1 2", 0)}) == {}
    clock[0] += 25
    assert watch.lost({7: ("elsewhere 1 2", 0)}) == {}
    clock[0] += 25
    assert watch.lost({7: ("elsewhere 1 2", 0)}) == {7: "no sign of life for 60 s (process 1 on elsewhere)"}


def test_while_this_process_saw_nothing_nobody_dies(clock):
    watch = Watch(grace=60)
    watch.lost({7: ("elsewhere 1 2", 1)})
    clock[0] += 3600  # the database was away, or this process was asleep
    assert watch.lost({7: ("elsewhere 1 2", 1)}) == {}


def test_slots_are_queued_in_order_and_taken_once(board):
    assert [t.user_attrs["slot"] for t in board.trials()] == ["trial 0000", "trial 0001", "trial 0002"]
    taken = [board.claim() for _ in range(4)]
    assert [claimed and claimed[0].key for claimed in taken] == ["trial 0000", "trial 0001", "trial 0002", None]
    assert {t.user_attrs["holder"] for t in board.trials()} == {holder()}
    board.fill()
    assert len(board.trials()) == 3  # nothing lacks


def test_few_slots_wait_at_a_time(open_sweep, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 4)
    board = open_sweep(trials=10).searched
    assert len(board.trials()) == 4
    seen = []
    while (claimed := board.claim()) is not None:
        board.finish(claimed[1], TrialState.COMPLETE, (0.5, 1.0), None)
        seen.append(claimed[0].key)
        board.fill()
        assert sum(t.state == TrialState.WAITING for t in board.trials()) <= 4
    assert seen == sorted(board.slots)
    assert (board.finished(), board.missing()) == (10, [])


def test_a_dead_process_s_trial_is_queued_again_with_its_values(board):
    _, trial = board.claim()
    depth = trial.suggest_int("model.arch.decoder_depth", 1, 3)
    board.storage.set_trial_user_attr(trial._trial_id, "holder", dead_process())
    lines = board.reap()
    assert len(lines) == 1
    assert "trial 0 (trial 0000): its process died" in lines[0]
    assert board.reap() == []
    assert states(board)[0] == ("trial 0000", "FAIL", True)
    assert states(board)[-1] == ("trial 0000", "WAITING", False)
    assert board.finished() == 0
    assert board.missing() == []
    again = board.trials()[-1]
    assert (again.params, again.user_attrs["attempt"]) == ({"model.arch.decoder_depth": depth}, 2)
    assert again.user_attrs["run"] == "trials/0000"


def test_two_that_notice_a_death_queue_it_once(open_sweep, url):
    one, two = open_sweep(url).searched, open_sweep(url).searched
    _, trial = one.claim()
    one.storage.set_trial_user_attr(trial._trial_id, "holder", dead_process())
    stale = {t.number: t for t in two.trials() if t.state == TrialState.RUNNING}
    assert len(one.reap()) == 1
    assert two._lose(stale[0], "its process died", counts=True) is None  # it had read it before
    assert [s for s in states(one) if s[0] == "trial 0000"] == [
        ("trial 0000", "FAIL", True),
        ("trial 0000", "WAITING", False),
    ]


def test_a_slot_that_kills_its_processes_is_given_up(board):
    gone = dead_process()
    for attempt in range(MAX_ATTEMPTS):
        while (claimed := board.claim())[0].key != "trial 0000":
            board.finish(claimed[1], TrialState.COMPLETE, (0.5, 1.0), None)
        board.storage.set_trial_user_attr(claimed[1]._trial_id, "holder", gone)
        assert ("given up" in board.reap()[0]) == (attempt == MAX_ATTEMPTS - 1)
    outcome = board.outcomes()["trial 0000"]
    assert outcome.state == TrialState.FAIL
    assert outcome.user_attrs["reason"].startswith(f"given up after {MAX_ATTEMPTS} attempts; at last its process died")
    assert board.finished() == 3
    assert board.claim() is None


def test_interruptions_do_not_count_as_attempts(board):
    for _ in range(2 * MAX_ATTEMPTS):
        while (claimed := board.claim())[0].key != "trial 0000":
            board.finish(claimed[1], TrialState.COMPLETE, (0.5, 1.0), None)
        board.give_back(claimed[1], "interrupted")
    assert board.trials()[-1].user_attrs["attempt"] == 1
    assert board.trials()[-1].state == TrialState.WAITING


def test_who_died_between_ending_and_queueing_again_loses_nothing(board, monkeypatch):
    _, trial = board.claim()
    encoder = trial.suggest_categorical("model.arch.encoder", ["linear", "residual"])
    monkeypatch.setattr(Board, "_queue_again", lambda *_: None)  # as if it had died there
    board.give_back(trial, "interrupted")
    monkeypatch.undo()
    assert [slot.key for slot in board.missing()] == ["trial 0000"]
    board.fill()
    assert board.missing() == []
    assert board.trials()[-1].params == {"model.arch.encoder": encoder}


def test_a_slot_that_was_queued_twice_is_trained_once(board):
    board.study.enqueue_trial({}, user_attrs={"slot": "trial 0000", "role": "trial", "run": "trials/0000"})
    taken = []
    while (claimed := board.claim()) is not None:
        taken.append(claimed[0].key)
    assert taken == ["trial 0000", "trial 0001", "trial 0002"]
    assert board.trials()[-1].user_attrs["reason"] == "queued twice, see trial 0"
    assert states(board)[-1] == ("trial 0000", "FAIL", True)


def test_who_was_taken_to_be_dead_changes_nothing_any_more(board):
    _, trial = board.claim()
    assert board.beat(trial, 1)
    board._lose(board.trials()[0], "no sign of life", counts=True)
    assert not board.beat(trial, 2)
    board.finish(trial, TrialState.COMPLETE, (0.9, 1.0), None)
    board.finish(trial, TrialState.FAIL, None, "diverged")
    assert board.trials()[0].state == TrialState.FAIL
    assert board.trials()[0].user_attrs["reason"] == "no sign of life"
    assert board.finished() == 0


def test_infeasible_values_do_not_use_up_a_slot(board):
    slot, trial = board.claim()
    board.reject(slot, trial, "flops 3 > 2")
    assert (board.infeasible(), board.finished()) == (1, 0)
    assert board.trials()[0].state == TrialState.PRUNED
    assert board.trials()[-1].user_attrs["slot"] == slot.key
    assert board.trials()[-1].params == {}  # other values than before


def test_nothing_trains_what_lies_beyond_a_lower_target(open_sweep):
    open_sweep(trials=5)
    board = open_sweep(trials=2).searched
    taken = [board.claim() for _ in range(3)]
    assert taken[2] is None
    assert [claimed[0].key for claimed in taken[:2]] == ["trial 0000", "trial 0001"]


def test_optuna_s_front_is_that_of_the_outcomes(board):
    for values in ((0.5, 1.0), (0.7, 2.0), (0.6, 3.0)):
        board.finish(board.claim()[1], TrialState.COMPLETE, values, None)
    best = optuna.load_study(study_name="tiny", storage=board.storage).best_trials
    assert sorted(t.number for t in best) == [0, 1]


def test_what_was_reported_and_decided_before_a_death_is_kept(open_sweep):
    board = open_sweep(objectives=["ssim"], references={}).searched
    _, trial = board.claim()
    trial.report(0.7, 1)
    trial.report(0.8, 2)
    trial.set_user_attr("pruned", "after epoch 2")
    trial.set_user_attr("reason", "of this attempt alone")
    board.storage.set_trial_user_attr(trial._trial_id, "holder", dead_process())
    board.reap()
    again = board.trials()[-1]
    assert again.intermediate_values == {1: 0.7, 2: 0.8}
    assert again.user_attrs["pruned"] == "after epoch 2"
    assert "reason" not in again.user_attrs


def test_a_board_with_a_lower_target_reaps_what_it_would_not_train(open_sweep):
    more = open_sweep(trials=5).searched
    taken = {}
    while (claimed := more.claim()) is not None:
        taken[claimed[0].key] = claimed[1]
    more.storage.set_trial_user_attr(taken["trial 0004"]._trial_id, "holder", dead_process())
    fewer = open_sweep(trials=2).searched
    assert len(fewer.reap()) == 1
    assert (more.trials()[-1].user_attrs["slot"], more.trials()[-1].state) == ("trial 0004", TrialState.WAITING)


def test_a_slot_is_queued_again_with_the_values_that_somebody_drew(board, monkeypatch):
    _, trial = board.claim()
    encoder = trial.suggest_categorical("model.arch.encoder", ["linear", "residual"])
    board.give_back(trial, "interrupted")
    blank = {"slot": "trial 0000", "role": "trial", "run": "trials/0000"}
    board.study.enqueue_trial({}, user_attrs=blank)
    monkeypatch.setattr(Board, "_queue_again", lambda *_: None)
    for waiting in [t for t in board.trials() if t.user_attrs["slot"] == "trial 0000" and t.state.name == "WAITING"]:
        board._end_again(waiting, "lost")
    monkeypatch.undo()
    board.fill()
    assert board.trials()[-1].params == {"model.arch.encoder": encoder}


def test_leftovers_of_ended_slots_do_not_wait_for_ever(board):
    _, trial = board.claim()
    board.finish(trial, TrialState.COMPLETE, (0.5, 1.0), None)
    board.study.enqueue_trial({}, user_attrs={"slot": "trial 0000", "role": "trial", "run": "trials/0000"})
    board.drop_leftovers()
    assert states(board)[-1] == ("trial 0000", "FAIL", True)
    assert [state for _, state, _ in states(board)].count("WAITING") == 2  # those that have not ended
