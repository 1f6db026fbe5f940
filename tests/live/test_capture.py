"""The newest frame: none twice, none late, a file at its own rate, and no thread left."""

import threading
import time

import pytest
from live.views import Greys

from lightning_mm.errors import InputError
from lightning_mm.live.capture import Newest


def gathered(newest):
    found = []
    while not newest.ended:
        found += filter(None, [newest.take()])
    return found


def test_a_file_is_played_at_its_own_rate_and_closed():
    clip = Greys(range(25), fps=50)
    began = time.monotonic()
    with Newest(clip, 50.0) as newest:
        found = gathered(newest)
    assert time.monotonic() - began >= 24 / 50
    assert [int(each.frame[0, 0, 0]) for each in found] == [each.index for each in found]
    assert found[-1].index == 24
    assert [each.time for each in found] == pytest.approx([each.index / 50.0 for each in found])
    assert all(each.arrived - found[0].arrived >= (each.index - found[0].index) / 50.0 - 1e-6 for each in found)
    assert clip.closed == 1


def test_time_goes_by_the_true_rate():
    with Newest(Greys(range(10), fps=100), 2000.0) as newest:
        found = gathered(newest)
    assert found[-1].time == pytest.approx(9 / 2000.0)


class Gated(Greys):
    """A camera that gives frames when it is told."""

    def __init__(self, levels):
        super().__init__(levels, live=True)
        self.gate, self.waiting = threading.Semaphore(0), threading.Semaphore(0)

    def __iter__(self):
        for frame in super().__iter__():
            self.waiting.release()
            assert self.gate.acquire(timeout=20.0)
            yield frame

    def give(self, count):
        """Give frames, and return when all have been taken up."""
        for _ in range(count):
            assert self.waiting.acquire(timeout=20.0)
            self.gate.release()
        assert self.waiting.acquire(timeout=20.0)
        self.waiting.release()


def test_who_is_slow_gets_the_newest_frame_and_none_twice():
    clip = Gated(range(30))
    with Newest(clip, 30.0) as newest:
        found = []
        for count in (1, 5, 2, 9):
            clip.give(count)
            found.append(newest.take())
            assert newest.take(timeout=0.0) is None
        clip.gate.release()
    assert [each.index for each in found] == [0, 5, 7, 16]
    assert [int(each.frame[0, 0, 0]) for each in found] == [0, 5, 7, 16]
    assert [each.time for each in found] == [each.arrived for each in found]


def test_frames_that_are_not_due_are_passed_over():
    with Newest(Greys(range(30), fps=100), 100.0) as newest:
        first = newest.take(timeout=20.0)
        later = newest.take(first.index + 7, timeout=20.0)
        assert later.index >= first.index + 7
        assert newest.take(10_000, timeout=20.0) is None
        assert newest.ended


def test_a_loop_starts_again_and_says_so():
    clip = Greys(range(4), fps=200)
    with Newest(clip, 200.0, loop=True) as newest:
        found = []
        while len(found) < 2 or found[-1].turn < 3:
            found += filter(None, [newest.take()])
    assert all(int(each.frame[0, 0, 0]) == each.index % 4 and each.turn == each.index // 4 for each in found)
    assert clip.closed >= 3


def test_an_error_of_the_source_is_raised_where_frames_are_taken():
    clip = Greys(range(3), fps=100)
    clip.failure = InputError("camera: unplugged")
    with Newest(clip, 100.0) as newest, pytest.raises(InputError, match="unplugged"):
        gathered(newest)


def test_leaving_stops_the_thread_and_closes_the_source():
    clip, before = Greys(range(1000), fps=20), threading.active_count()
    with Newest(clip, 20.0) as newest:
        assert newest.take(timeout=5.0) is not None
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert clip.closed == 1
