import subprocess
import sys
import threading
import time

import pytest

from lightning_mm.magnification.pipeline import ahead, behind


def test_items_come_in_order_and_from_another_thread():
    threads = set()

    def items():
        for n in range(50):
            threads.add(threading.current_thread())
            yield n

    assert list(ahead(items())) == list(range(50))
    assert threading.current_thread() not in threads
    assert len(threads) == 1


def test_no_more_than_the_depth_is_read_ahead():
    read = []

    def items():
        for n in range(50):
            read.append(n)
            yield n

    iterator = ahead(items(), depth=3)
    assert next(iterator) == 0
    deadline = time.monotonic() + 5.0
    while len(read) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(read) == 5  # one given, three waiting, one in hand
    iterator.close()


def test_an_error_is_raised_in_its_place():
    def items():
        yield 1
        yield 2
        raise ValueError("broken")

    iterator = ahead(items())
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(iterator)


def test_closing_early_closes_the_source_in_its_thread_and_ends_it():
    closed = []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(threading.current_thread().name)

    before = threading.active_count()
    iterator = ahead(items())
    next(iterator)
    iterator.close()
    assert closed == ["decoding"]
    assert threading.active_count() == before


def test_everything_handed_on_has_been_done():
    done = []
    with behind(lambda item: (time.sleep(0.002), done.append(item)), depth=2) as work:
        for n in range(20):
            work(n)
    assert done == list(range(20))


def test_an_error_of_the_function_comes_back():
    def fail(item):
        if item == 3:
            raise OSError("disk")

    given = 0
    with pytest.raises(OSError, match="disk"), behind(fail, depth=1) as work:  # noqa: PT012
        for n in range(1000):
            work(n)
            given = n
    assert given < 10
    with pytest.raises(OSError, match="disk"), behind(fail) as work:
        work(3)  # the last one, so that only leaving can tell


def test_an_error_in_the_body_wins_and_the_thread_ends():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), behind(print) as work:  # noqa: PT012
        work("")
        raise KeyboardInterrupt
    assert threading.active_count() == before


def test_a_signal_at_any_moment_neither_hangs_nor_breaks_a_lock():
    """SIGTERM raises KeyboardInterrupt wherever the main thread is: in the midst of handing on, too."""
    code = """
import os, random, signal, threading, time
from lightning_mm.magnification.pipeline import ahead, behind
from lightning_mm.signals import terminable

def shoot(after):
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGTERM)

random.seed(0)
for n in range(30):
    shooter = threading.Thread(target=shoot, args=(random.uniform(0.0, 0.004),))
    with terminable():
        try:
            shooter.start()
            with behind(lambda item: None, depth=2) as work:
                for item in ahead(iter(range(10**9)), depth=2):
                    work(item)
        except KeyboardInterrupt:
            pass
        shooter.join()
print("survived")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "survived\n", "")


def test_a_source_that_waits_is_told_to_hurry():
    told = threading.Event()

    def items():
        yield 1
        told.wait(60)

    iterator = ahead(items(), hurry=told.set)
    assert next(iterator) == 1
    iterator.close()
    assert told.is_set()
