"""Live views in threads, of which none may be left."""

import threading
from contextlib import contextmanager

import pytest
from live.views import Browser

from lightning_mm.live.server import LiveServer


@pytest.fixture
def shown():
    """Runs a session with its server in threads; all threads must have ended with it."""
    before = set(threading.enumerate())

    @contextmanager
    def run(session, duration=None, host="127.0.0.1"):
        stop, errors = threading.Event(), []

        def work():
            try:
                session.run(stop, duration)
            except BaseException as error:
                errors.append(error)

        with LiveServer(host, 0) as server, server.serving(session):
            thread = threading.Thread(target=work)
            thread.start()
            try:
                browser = Browser(server.url)
                browser.errors, browser.thread = errors, thread
                yield browser
            finally:
                stop.set()
                thread.join(20)
                assert not thread.is_alive()

    yield run
    assert set(threading.enumerate()) <= before
