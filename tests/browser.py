"""Headless Chromium: what it makes of a page and what its console says."""

import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
_FLAGS += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
_FLAGS += ["--enable-logging=stderr"]


def dump(url: str, profile: Path, budget_ms: int = 4000) -> tuple[str, list[str]]:
    """The document after some virtual time, as HTML, and the lines of the console."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *_FLAGS, f"--virtual-time-budget={budget_ms}", f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
