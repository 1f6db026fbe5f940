"""Shared by all tests: one thread per process, so that the suite behaves alike on two cores and on sixty-four."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import ForkServer

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start, too

import torch

import lightning_mm  # noqa: F401  (declares torchvision's operators before lightning or torchmetrics import it)

torch.set_num_threads(1)
os.environ.pop("WANDB_MODE", None)  # or every training of the tests would be logged by it

# The files that take longest. Several processes begin with them, or one would be left alone with one at the end.
LONGEST = [
    "test_readme.py",
    "test_ddp.py",
    "test_resume.py",
    "search/test_command.py",
    "search/test_chaos.py",
    "release/test_release.py",
    "test_training.py",
    "reproduction/test_command.py",
    "models/test_general_properties.py",
    "search/test_worker.py",
    "search/test_slots.py",
    "models/test_supernet.py",
    "evaluation/test_command.py",
    "tasks/test_supernet.py",
    "search/test_objective.py",
    "nas/test_appendix.py",
    "search/test_spec.py",
    "benchmarking/test_train.py",
    "removal/test_prune.py",
    "spaces/test_sampling.py",
    "tasks/test_supernet_ranks.py",
    "tracking/test_server.py",
    "inference/test_prepare.py",
    "demo/test_page.py",
    "magnification/test_command.py",
    "benchmarking/test_video.py",
    "magnification/test_pipeline.py",
]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """The process that others are forked from."""
    server = ForkServer()
    yield server
    server.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a process among several, put the tests of the longest files first."""
    if not hasattr(config, "workerinput"):
        return
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
