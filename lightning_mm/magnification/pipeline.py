"""Overlap: decoding and encoding of video in threads of their own, a few frames ahead and behind.

Between threads lie ``queue.SimpleQueue`` objects alone, of which each operation is one step: what Ctrl-C or SIGTERM
raises in the main thread may come anywhere, and in the midst of a ``queue.Queue`` it would leave the other thread
waiting for ever.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEPTH = 4
"""Frames that wait between two threads at most."""

_PATIENCE = 0.1
"""Seconds after which a waiting thread looks whether it is to stop."""


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Stop:
    """Asked for by setting a plain attribute, which takes no lock."""

    wished = False


def _get(waiting: "queue.SimpleQueue[Any]", stop: _Stop) -> Any:
    """The next item, or an ``_End`` when it is time to stop."""
    while True:
        try:
            return waiting.get(timeout=_PATIENCE)
        except queue.Empty:
            if stop.wished:
                return _End()


def ahead(items: Iterable[T], depth: int = DEPTH, hurry: Callable[[], object] = lambda: None) -> Generator[T]:
    """Iterate in a thread, ``depth`` items ahead at most; what it raises is raised here, in its place.

    Args:
        items: What to iterate. Its generator is closed in its own thread, also when this one is closed early.
        depth: How many items may wait.
        hurry: Called when this is closed early, to cut short what the iteration may be waiting for.

    Yields:
        The items, in order.
    """
    given: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    free: queue.SimpleQueue[None] = queue.SimpleQueue()
    stop = _Stop()
    for _ in range(depth):
        free.put(None)

    def work() -> None:
        error: BaseException | None = None
        try:
            iterator = iter(items)
            try:
                for item in iterator:
                    if isinstance(_get(free, stop), _End):
                        break
                    given.put(item)
            finally:
                if isinstance(iterator, Generator):
                    iterator.close()
        except BaseException as raised:  # handed on, to be raised where it can be dealt with
            error = raised
        given.put(_End(error))

    thread = threading.Thread(target=work, name="decoding", daemon=True)
    thread.start()
    ended = False
    try:
        while not isinstance(item := given.get(), _End):
            free.put(None)
            yield item
        ended = True
        if item.error is not None:
            raise item.error
    finally:
        stop.wished = True
        if not ended:
            hurry()
        thread.join()


class _Behind(Generic[T]):
    def __init__(self, function: Callable[[T], object], depth: int) -> None:
        self.error: BaseException | None = None
        self.stop = _Stop()
        self._function = function
        self._given: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(depth):
            self._free.put(None)
        self.thread = threading.Thread(target=self._work, name="encoding", daemon=True)
        self.thread.start()

    def __call__(self, item: T) -> None:
        self._free.get()
        if self.error is not None:
            raise self.error
        self._given.put(item)

    def _work(self) -> None:
        while not isinstance(item := _get(self._given, self.stop), _End):
            if self.error is None:
                try:
                    self._function(item)
                except BaseException as raised:  # raised in the thread that hands items on
                    self.error = raised
            self._free.put(None)


@contextmanager
def behind(function: Callable[[T], object], depth: int = DEPTH) -> Iterator[Callable[[T], None]]:
    """Call a function in a thread, with ``depth`` items waiting at most.

    On leaving, everything handed on has been done, and an error of the function is raised unless there is another one.
    """
    worker = _Behind(function, depth)
    try:
        yield worker
    finally:
        worker.stop.wished = True
        worker.thread.join()
    if worker.error is not None:
        raise worker.error
