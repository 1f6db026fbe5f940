"""SIGTERM as Ctrl-C, or both as a wish that is looked at in a quiet moment."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt, as Ctrl-C does, where this is the main thread."""
    with _handled(_interrupt, signal.SIGTERM):
        yield


@contextmanager
def stop_wished(hurry: Callable[[], None]) -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, for work that must not be interrupted anywhere.

    Args:
        hurry: Called with each of them, to cut short what is being waited for.
    """
    wished = threading.Event()

    def wish(number: int, frame: FrameType | None) -> None:
        wished.set()
        hurry()

    with _handled(wish, signal.SIGINT, signal.SIGTERM):
        yield wished


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What a shell has started in the background goes on ignoring Ctrl-C.
    numbers = tuple(number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # not by SIGINT, which is ignored in what a shell has started in the background
