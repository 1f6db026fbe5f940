"""Workers: they reach the target and no more, stop cleanly, and do not stop for what is a trial's own fault."""

import json
import os
import signal
import threading
import time

import pytest
from optuna.trial import TrialState

from lightning_mm.errors import InputError, Interrupted
from lightning_mm.search import worker as module
from lightning_mm.search.objective import Outcome, TakenOverError
from lightning_mm.search.study import join
from lightning_mm.search.worker import LAUNCHER, Worker

DEPTH = {"class_path": "IntDistribution", "init_args": {"low": 1, "high": 9}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_POLL_S", 0.05)


def trained(sweep, seen=None, **special):
    """A training that is a formula; for some slots something else happens."""

    def train(slot, trial, mine):
        values = sweep.spec.suggest(trial) if slot.role == "trial" else {}
        if seen is not None:
            seen.append((slot.key, values))
        happens = special.get(slot.key.replace(" ", "_"))
        if isinstance(happens, BaseException):
            raise happens
        if callable(happens):
            return happens(slot, trial, mine)
        depth = values.get("model.arch.decoder_depth", 9)
        return happens or Outcome(TrialState.COMPLETE, (0.5 + 0.1 * depth, float(depth)), note="fine")

    return train


def counts(sweep):
    return {name: n for name, n in json.loads((sweep.directory / "sweep.json").read_text())["counts"].items() if n}


def test_every_model_is_trained_once_references_first(open_sweep):
    sweep, seen, progress, said = open_sweep(), [], [], []
    Worker(sweep, trained(sweep, seen), said.append).run(lambda done, total: progress.append((done, total)))
    assert [key for key, _ in seen] == ["reference proposed", "trial 0000", "trial 0001", "trial 0002"]
    assert progress == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert said == [f"{key}: fine" for key, _ in seen]
    assert counts(sweep) == {"complete": 4}
    Worker(open_sweep(), trained(sweep, seen)).run()
    assert len(seen) == 4  # nothing is left to do


def test_a_higher_target_is_topped_up(open_sweep):
    sweep, seen = open_sweep(), []
    Worker(sweep, trained(sweep)).run()
    more = open_sweep(trials=5)
    Worker(more, trained(more, seen)).run()
    assert [key for key, _ in seen] == ["trial 0003", "trial 0004"]
    assert counts(more) == {"complete": 6}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_what_is_drawn_depends_on_the_seed_alone(open_sweep, sampler):
    drawn = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        seen = []
        sweep = open_sweep(name=name, sampler=sampler, seed=seed, trials=8, references={})
        Worker(sweep, trained(sweep, seen)).run()
        drawn[name] = seen
    assert drawn["a"] == drawn["b"] != drawn["c"]
    assert len({str(values) for _, values in drawn["a"]}) > 2


def test_failures_and_prunings_are_outcomes(open_sweep):
    sweep = open_sweep()
    bad = Outcome(TrialState.FAIL, reason="diverged: the loss became nan at step 7", note="diverged")
    pruned = Outcome(TrialState.PRUNED, reason="after epoch 1 of 3", note="pruned")
    said = []
    Worker(sweep, trained(sweep, trial_0000=bad, trial_0001=pruned), said.append).run()
    assert counts(sweep) == {"complete": 2, "failed": 1, "pruned": 1}
    state = json.loads((sweep.directory / "sweep.json").read_text())
    assert [failure["reason"] for failure in state["failures"]] == ["diverged: the loss became nan at step 7"]
    assert "trial 0000: failed: diverged" in said
    assert sweep.finished() == 4


def test_infeasible_proposals_are_replaced(open_sweep):
    sweep, seen = open_sweep(), []
    refused = [Outcome(TrialState.PRUNED, reason="flops 3 > 2", infeasible=True)] * 4

    def sometimes(slot, trial, mine):
        return refused.pop() if refused else Outcome(TrialState.COMPLETE, (0.5, 1.0))

    Worker(sweep, trained(sweep, seen, trial_0001=sometimes)).run()
    assert counts(sweep) == {"complete": 4, "infeasible": 4}
    assert [key for key, _ in seen].count("trial 0001") == 5


def test_a_space_without_hope_ends(open_sweep, monkeypatch):
    monkeypatch.setattr(module, "INFEASIBLE_PER_SLOT", 3)
    sweep = open_sweep(constraints={"flops": 30.0})
    never = Outcome(TrialState.PRUNED, reason="flops 31 > 30", infeasible=True)
    with pytest.raises(InputError, match=r"constraints {'flops': 30.0}: 9 proposals missed them"):
        Worker(sweep, trained(sweep, trial_0000=never, trial_0001=never, trial_0002=never)).run()


def test_an_interrupted_model_is_queued_again_with_its_values(open_sweep):
    sweep, seen = open_sweep(), []
    full = Interrupted("last.ckpt: No space left on device, at step 7; run it again")
    with pytest.raises(Interrupted, match=r"trial 0001: last.ckpt: No space left on device, at step 7; do it again"):
        Worker(sweep, trained(sweep, seen, trial_0001=full), advice="do it again").run()
    lost = next(t for t in sweep.searched.trials() if "again" in t.user_attrs)
    assert lost.user_attrs["reason"] == "last.ckpt: No space left on device, at step 7"
    assert counts(sweep) == {"complete": 2, "lost": 1, "waiting": 2}
    again = open_sweep()
    Worker(again, trained(again, seen)).run()
    values = [values for key, values in seen if key == "trial 0001"]
    assert values[0] == values[1] != {}
    assert counts(again) == {"complete": 4, "lost": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_between_trainings_end_it_cleanly(open_sweep, number):
    sweep = open_sweep()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    def signalled(slot, trial, mine):
        os.kill(os.getpid(), number)
        time.sleep(5)
        raise AssertionError("not reached")

    try:
        with pytest.raises(Interrupted, match="trial 0000: interrupted; run the same command again"):
            Worker(sweep, trained(sweep, trial_0000=signalled)).run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert counts(sweep) == {"complete": 1, "lost": 1, "waiting": 3}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_this_machine_cannot_train_is_left_for_others(open_sweep):
    sweep = open_sweep()
    with pytest.raises(InputError, match="no such folder"):
        Worker(sweep, trained(sweep, trial_0000=InputError("photos: no such folder"))).run()
    lost = next(t for t in sweep.searched.trials() if "again" in t.user_attrs)
    assert lost.user_attrs["reason"] == "not on this machine: photos: no such folder"
    assert sweep.searched.trials()[-1].user_attrs["attempt"] == 2


def test_a_fault_of_the_program_is_recorded_and_raised(open_sweep):
    sweep = open_sweep()
    with pytest.raises(ZeroDivisionError):
        Worker(sweep, trained(sweep, trial_0000=ZeroDivisionError("a bug"))).run()
    assert json.loads((sweep.directory / "sweep.json").read_text())["failures"][0]["reason"] == (
        "ZeroDivisionError: a bug"
    )


def test_what_was_taken_over_is_left_alone(open_sweep):
    sweep, said = open_sweep(trials=1, references={}), []
    board = sweep.searched

    def taken_over(slot, trial, mine):
        board._lose(board.trials()[0], "no sign of life", counts=True)
        deadline = time.monotonic() + 20
        while mine():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        raise TakenOverError

    happens = [taken_over]

    def train(slot, trial, mine):
        return happens.pop()(slot, trial, mine) if happens else Outcome(TrialState.COMPLETE, (0.5, 1.0), note="fine")

    Worker(sweep, train, said.append, beat=0.05).run()
    assert "was taken to be dead" in said[0]
    assert counts(sweep) == {"complete": 1, "lost": 1}


def test_a_worker_waits_for_the_others_last_models(open_sweep):
    sweep, other = open_sweep(trials=1, references={}), open_sweep(trials=1, references={})
    _, trial = other.searched.claim()
    end = threading.Timer(0.5, lambda: other.searched.finish(trial, TrialState.COMPLETE, (0.5, 1.0), None))
    end.start()
    Worker(sweep, trained(sweep)).run()
    end.join()
    assert counts(sweep) == {"complete": 1}


def test_a_worker_does_not_outlive_its_launcher(open_sweep, monkeypatch):
    monkeypatch.setenv(LAUNCHER, "1")  # is not the parent of this process
    sweep = open_sweep()
    waiting = lambda slot, trial, mine: time.sleep(20)  # noqa: E731
    with pytest.raises(Interrupted):
        Worker(sweep, trained(sweep, trial_0000=waiting), beat=0.1).run()


def test_a_sweep_is_joined_by_its_storage_alone(open_sweep, url, tmp_path, monkeypatch):
    sweep = open_sweep(url)
    (tmp_path / "base.yaml").unlink()
    (tmp_path / "deep.yaml").unlink()
    joined = join(sweep.storage, None, None)
    assert joined.directory == (tmp_path / "runs").absolute()
    assert joined.spec.space == sweep.spec.space
    Worker(joined, trained(joined)).run()
    assert joined.finished() == sweep.finished() == 4
    elsewhere = join(sweep.storage, "tiny", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/configs/deep.yaml").is_file()
    assert elsewhere.finished() == 4


def test_joining_what_is_not_there(open_sweep, tmp_path, url):
    sweep = open_sweep(url)
    with pytest.raises(InputError, match=r"holds no sweep 'other'; there are tiny"):
        join(sweep.storage, "other", None)
    open_sweep(url, name="other")
    with pytest.raises(InputError, match=r"several sweeps; choose one with --study: other, tiny"):
        join(sweep.storage, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"space": {"model.arch.decoder_depth": DEPTH}},
        {"objectives": ["ssim"]},
        {"references": {}},
        {"seeds": [1]},
    ],
    ids=["space", "objectives", "references", "seeds"],
)
def test_another_sweep_under_the_same_name_is_refused(open_sweep, change):
    open_sweep()
    with pytest.raises(InputError, match=r"study 'tiny' has another space, budget, objective or reference; give"):
        open_sweep(**change)
    open_sweep(trials=9, description="says something else")


def test_a_state_that_cannot_be_written_costs_the_report_alone(open_sweep, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lightning_mm.search.state.write_text_atomically", full)
    sweep, said = open_sweep(), []
    Worker(sweep, trained(sweep), said.append).run()
    assert sweep.finished() == 4
    assert any("sweep.json: not written ([Errno 28] No space left on device)" in line for line in said)
