"""Summaries, and how often work is done to be measured, on a clock that the work itself moves."""

from types import SimpleNamespace

import pytest
import torch

from lightning_mm import timing
from lightning_mm.timing import Summary, Timed, calls_to_measure

CPU = torch.device("cpu")


def test_quartiles_are_interpolated_and_repeats_kept_in_order():
    found = Summary.of([10.0, 1.0, 4.0, 2.0])
    assert (found.lower, found.median, found.upper) == (1.75, 3.0, 5.5)
    assert found.raw == (10.0, 1.0, 4.0, 2.0)


def test_one_repeat_is_its_own_summary():
    assert Summary.of([3.0]) == Summary(3.0, 3.0, 3.0, (3.0,))


@pytest.mark.parametrize(("seconds", "calls"), [(5.0, 1), (0.1, 1), (0.06, 2), (0.01, 10), (1e-9, 50), (0.0, 50)])
def test_work_is_repeated_until_it_can_be_measured(seconds, calls):
    assert calls_to_measure(seconds) == calls


@pytest.mark.parametrize(("first", "later", "calls"), [(8.0, 0.03125, 4), (0.5, 0.5, 1)])
def test_the_first_calls_do_not_count(monkeypatch, first, later, calls):
    now, durations = [0.0], []

    def work():
        durations.append(first if not durations else later)
        now[0] += durations[-1]

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    timed = Timed(work, CPU)
    assert timed.seconds() == pytest.approx(later)
    assert len(durations) == 2 + calls
    assert timed.seconds() == pytest.approx(later)
    assert len(durations) == 2 + 2 * calls
