"""A writer whose process ends early leaves nothing under the name of its output.

Run as a program, this file writes and is killed: one process imports the package, and each case is a fork of it.
"""

import json
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def writing():
    from fork_server import serving

    with serving(__file__) as process:

        def killed(path, codec, number, overwrite=False):
            """Exit code of a process that is sent a signal while it writes, below zero for the signal itself."""
            process.stdin.write(json.dumps([str(path), codec, int(number), overwrite]) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield killed


@pytest.mark.parametrize(("name", "codec"), [("out.mp4", "h264"), ("out.mkv", "ffv1"), ("out", "h264")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end(writing, tmp_path, name, codec, number):
    assert writing(tmp_path / name, codec, number) == 75  # went through its own clearing up
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "codec"), [("out.mp4", "h264"), ("out.mkv", "ffv1"), ("out", "h264")])
def test_killed_outright(writing, tmp_path, name, codec):
    assert writing(tmp_path / name, codec, signal.SIGKILL) == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".out.")
    assert ".tmp" in left


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_output_that_was_there_survives(writing, tmp_path, number):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000000.png").write_bytes(b"as it was")
    writing(tmp_path / "out", "h264", number, overwrite=True)
    assert (tmp_path / "out" / "000000.png").read_bytes() == b"as it was"


def write_without_end(path, codec, overwrite, begun):
    from lightning_mm.video.writer import ClipWriter

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ClipWriter(Path(path), 64, 48, Fraction(25), codec=codec, overwrite=overwrite) as writer:
            while True:
                writer.write(np.full((48, 64, 3), writer.frames % 256, np.uint8))
                if writer.frames == 100:
                    os.write(begun, b"1")
    except KeyboardInterrupt:
        os._exit(75)


def serve():
    import lightning_mm.video.writer  # noqa: F401

    for line in sys.stdin:
        path, codec, number, overwrite = json.loads(line)
        reading, begun = os.pipe()
        if (child := os.fork()) == 0:
            write_without_end(path, codec, overwrite, begun)
        os.close(begun)
        os.read(reading, 1)  # nothing, if the child failed before
        os.close(reading)
        os.kill(child, number)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
