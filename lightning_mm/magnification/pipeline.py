"""Overlap: decoding and encoding of video in threads of their own, a few frames ahead and behind."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 4
"""Frames that wait between two threads at most."""


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int = DEPTH) -> Generator[T]:
    """Iterate in a thread, ``depth`` items ahead at most; what it raises is raised here, in its place.

    Args:
        items: What to iterate. Its generator is closed in its own thread, also when this one is closed early.
        depth: How many items may wait.

    Yields:
        The items, in order.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def hand_on(item: "T | _End") -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            iterator = iter(items)
            try:
                for item in iterator:
                    if not hand_on(item):
                        return
            finally:
                if isinstance(iterator, Generator):
                    iterator.close()
        except BaseException as raised:  # handed on, to be raised where it can be dealt with
            error = raised
        hand_on(_End(error))

    thread = threading.Thread(target=work, name="decoding", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()


class Behind(Generic[T]):
    """Calls a function in a thread with one item after the other; see ``behind``."""

    def __init__(self, function: Callable[[T], object], depth: int) -> None:
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._function = function
        self._thread = threading.Thread(target=self._work, name="encoding", daemon=True)
        self._thread.start()

    def __call__(self, item: T) -> None:
        """Hand an item on; raises what the function raised for an earlier one."""
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def _work(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:
                try:
                    self._function(item)
                except BaseException as raised:  # raised in the thread that hands items on
                    self._error = raised

    def _finish(self) -> None:
        self._waiting.put(_End())
        self._thread.join()


@contextmanager
def behind(function: Callable[[T], object], depth: int = DEPTH) -> Iterator[Callable[[T], None]]:
    """Call a function in a thread, with ``depth`` items waiting at most.

    On leaving, everything handed on has been done, and an error of the function is raised unless there is another one.
    """
    worker = Behind(function, depth)
    try:
        yield worker
    finally:
        worker._finish()
    if worker._error is not None:
        raise worker._error
