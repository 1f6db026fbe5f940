"""The launcher: a signal at the worst moment leaves no worker that nobody knows of."""

import os
import signal
import sys

import pytest

from lightning_mm.errors import Interrupted
from lightning_mm.search import launch
from lightning_mm.search.launch import Launcher


@pytest.mark.parametrize("moment", [0, 1])
def test_a_signal_while_a_worker_starts_ends_all_of_them(open_sweep, monkeypatch, moment):
    started, popen = [], launch.subprocess.Popen

    def signalled(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        if len(started) == moment + 1:
            os.kill(os.getpid(), signal.SIGTERM)  # it runs, and the launcher has not noted it down yet
        return started[-1]

    monkeypatch.setattr(launch.subprocess, "Popen", signalled)
    sweep = open_sweep()
    forever = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(Interrupted, match="interrupted; run the same command again to continue"):
        Launcher(sweep, forever, 2, lambda line: None).run()
    assert started
    assert [process.poll() for process in started] == [-signal.SIGTERM] * len(started)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_cuts_short_what_the_launcher_waits_for(open_sweep, monkeypatch):
    sweep = open_sweep()
    idle = [sys.executable, "-c", "import time; time.sleep(600)"]
    patience = []

    def during_an_outage(done, total):
        os.kill(os.getpid(), signal.SIGTERM)
        patience.append(sweep.storage.patience)

    with pytest.raises(Interrupted):
        Launcher(sweep, idle, 1, lambda line: None).run(during_an_outage)
    assert patience == [launch.HURRY_S]
