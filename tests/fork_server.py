"""A process that has imported everything and takes jobs on its standard input: children are forked from it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def serving(program: str) -> Iterator[subprocess.Popen]:
    """Run a program of the tests with pipes to its standard input and output; it ends when its input does."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, program], stdin=-1, stdout=-1, env=environment, text=True)
    yield process
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
