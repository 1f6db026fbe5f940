"""Several trainings at a time, with programs in their place that end in every way a training can."""

import json
import os
import sys
from dataclasses import replace

import pytest

from lightning_mm.errors import InputError, Interrupted
from lightning_mm.reproduction import running
from lightning_mm.reproduction.ledger import LEDGER_FILE, Ledger, budget_of
from lightning_mm.reproduction.spec import Job

DONE = "import pathlib, sys; d = pathlib.Path(sys.argv[1]); d.mkdir(); (d / 'results.json').write_text('{}')"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Jobs that run Python code instead of trainings, and what was said of them."""
    said = []
    monkeypatch.setattr(
        running, "command_line", lambda job: [sys.executable, "-c", job.arguments[0], str(job.directory)]
    )

    def make(*codes, workers=2):
        jobs = [Job(f"row{n}", "training", 0, tmp_path / f"row{n}-seed0", [code]) for n, code in enumerate(codes)]
        return said, jobs, lambda: running.train(jobs, Ledger(tmp_path), workers, said.append)

    return make


def test_all_are_done_and_none_twice(work, tmp_path):
    said, jobs, run = work(DONE, DONE, DONE)
    run()
    assert Ledger(tmp_path).missing(jobs) == []
    assert said == ["1/3 row0-seed0", "2/3 row1-seed0", "3/3 row2-seed0"]
    run()
    assert len(said) == 3


def test_several_run_at_a_time(work, tmp_path):
    meet = (
        "import pathlib, sys, time; d = pathlib.Path(sys.argv[1]); d.mkdir(); other = d.parent / {!r}\n"
        "while not other.exists(): time.sleep(0.01)\n"
        "(d / 'results.json').write_text('')"
    )
    _, jobs, run = work(meet.format("row1-seed0"), meet.format("row0-seed0"))
    run()
    assert Ledger(tmp_path).missing(jobs) == []


def test_a_divergence_is_recorded_and_not_tried_again(work, tmp_path):
    last = "lightning-mm: training diverged: the loss became nan at step 3"
    diverge = f"import sys; print('step 3'); print({last!r}); sys.exit(1)"
    said, jobs, run = work(diverge, DONE)
    run()
    assert Ledger(tmp_path).diverged() == {"row0-seed0": "the loss became nan at step 3"}
    assert "row0-seed0: diverged (the loss became nan at step 3)" in said
    assert Ledger(tmp_path).missing(jobs) == []


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "print('lightning-mm: error: data.size = 3: small'); sys.exit(2)",
            InputError,
            "row0-seed0: data.size = 3",
        ),
        ("print('disk full'); sys.exit(75)", Interrupted, "row0-seed0: disk full"),
        ("raise KeyError('x')", RuntimeError, "row0-seed0 ended with exit code 1; the end of "),
        ("os.kill(os.getpid(), 9)", RuntimeError, "row0-seed0.log: it printed nothing"),
    ],
)
def test_other_ends_stop_everything_and_say_why(work, tmp_path, code, kind, message):
    pid = "import os, pathlib, sys, time; here = pathlib.Path(sys.argv[1]).parent; "
    wait = pid + "(here / f'pid{os.getpid()}').touch(); time.sleep(120)"
    _, _, run = work(f"{pid}\nwhile not [*here.glob('pid*')]: time.sleep(0.01)\n{code}", wait)
    with pytest.raises(kind) as caught:
        run()
    assert message in str(caught.value)
    (waiting,) = tmp_path.glob("pid*")
    with pytest.raises(ProcessLookupError):  # the one that waits was ended
        os.kill(int(waiting.name.removeprefix("pid")), 0)
    assert Ledger(tmp_path).diverged() == {}


def test_one_command_at_a_time_trains_in_a_directory(work, tmp_path):
    said, jobs, run = work(DONE, DONE)
    other, late = Ledger(tmp_path), Ledger(tmp_path)
    with other.held():
        other.note(jobs[0])
        with pytest.raises(InputError, match="another 'lightning-mm reproduce' trains there; wait until it has ended"):
            run()
        assert said == []
    with late.held():  # what was noted since it was read is not lost
        late.note(jobs[1])
    assert json.loads((tmp_path / LEDGER_FILE).read_text()).keys() == {"row0-seed0", "row1-seed0"}
    run()
    with other.held():
        run()  # nothing is left to train


def test_a_worker_that_outlives_its_command_holds_the_directory(work, tmp_path):
    said, jobs, _ = work("import time; time.sleep(120)")
    ledger = Ledger(tmp_path)
    with ledger.held():
        worker = running._Pool(jobs, ledger, 2, said.append)._start(0, jobs[0]).process
    try:
        with pytest.raises(InputError, match="another 'lightning-mm reproduce' trains there"), Ledger(tmp_path).held():
            pass
    finally:
        worker.kill()
        worker.wait()
    with Ledger(tmp_path).held():
        pass


def test_another_budget_is_another_directory(work, tmp_path):
    _, jobs, run = work(DONE, DONE)
    run()
    Ledger(tmp_path).require_same(jobs)
    changed = replace(jobs[1], arguments=[*jobs[1].arguments, "--data.size=32"])
    with pytest.raises(InputError, match=r"row1-seed0: was trained with other settings or files; choose another"):
        Ledger(tmp_path).require_same([jobs[0], changed])
    (tmp_path / LEDGER_FILE).write_text(json.dumps({}))
    with pytest.raises(InputError, match="row0-seed0: is no run of 'lightning-mm reproduce'"):
        Ledger(tmp_path).require_same(jobs)
    (tmp_path / LEDGER_FILE).write_text("{")
    with pytest.raises(InputError, match=r"runs\.json: not valid JSON"):
        Ledger(tmp_path)
    for content in ([], {"row0-seed0": {}}, {"row0-seed0": "budget"}):
        (tmp_path / LEDGER_FILE).write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"runs\.json: not a file of 'lightning-mm reproduce'"):
            Ledger(tmp_path)


def test_a_file_that_has_changed_is_another_budget(tmp_path):
    config = tmp_path / "one.yaml"
    config.write_text("a: 1")
    job = Job("row", "training", 0, tmp_path / "row-seed0", ["--config", str(config)])
    before = budget_of(job)
    assert before == budget_of(replace(job, row="other", directory=tmp_path / "elsewhere"))
    config.write_text("a: 2")
    assert budget_of(job) != before
