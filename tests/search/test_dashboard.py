"""optuna-dashboard on a sweep's study, in a browser."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import browser
import pytest
from optuna.trial import TrialState
from reserved_port import reserved_port

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed (the extra 'dashboard')")
pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def dashboard(open_sweep, tmp_path):
    """Addresses of the dashboard and of a finished study of three trials in it."""
    sweep = open_sweep()
    board, number = sweep.searched, sweep.storage.get_study_id_from_name("tiny")
    for values in ((0.71, 1.5), (0.83, 2.5), (0.79, 3.5)):
        _, trial = board.claim()
        trial.suggest_int("model.arch.decoder_depth", 1, 3)
        trial.suggest_categorical("model.arch.encoder", ["linear", "residual"])
        board.finish(trial, TrialState.COMPLETE, values, None)
    with reserved_port() as port:
        program = Path(sys.executable).parent / "optuna-dashboard"
        command = [str(program), f"sqlite:///{tmp_path / 'study.db'}", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/dashboard", f"http://127.0.0.1:{port}/dashboard/studies/{number}"
    process.terminate()
    process.wait()


def test_the_study_is_shown_without_errors(dashboard, tmp_path):
    home, study = dashboard
    pages = {}
    for page in (home, f"{study}/trials", study):
        pages[page], console = browser.dump(page, tmp_path / "profile", 10_000)
        assert [line for line in console if "error" in line.lower()] == []
    assert "tiny<" in pages[home]
    assert all(text in pages[f"{study}/trials"] for text in ("3 Trials", "Complete", "0.71, 1.5", "trials/0000"))
    assert all(text in pages[study] for text in ("Pareto", "paper GFLOPs", "model.arch.decoder_depth"))
