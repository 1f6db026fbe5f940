"""The example, small, taken up once for all tests."""

import pytest

pytest.importorskip("cv2", reason="measuring needs OpenCV")

from lightning_mm.demo.example import write_example
from lightning_mm.demo.limits import Limits
from lightning_mm.demo.loading import load


@pytest.fixture(scope="session")
def finished():
    """Runs a generator to its end: what it yielded and what it returned."""

    def run(work):
        told = []
        while True:
            try:
                told.append(next(work))
            except StopIteration as stop:
                return told, stop.value

    return run


@pytest.fixture(scope="session")
def limits():
    """Of a file of 1 MB, 2 s and 128 pixels."""
    return Limits(1.0, 2.0, 128)


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """The example, 128 x 96 pixels, 2 s."""
    path = tmp_path_factory.mktemp("demo") / "beam.mp4"
    write_example(path, 2.0, (96, 128))
    return path


@pytest.fixture(scope="session")
def loaded(clip, limits, finished):
    """The example, taken up."""
    return finished(load(clip, limits))[1]
