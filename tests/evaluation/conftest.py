"""Small sets and methods to judge."""

import pytest
import torch

from lightning_mm.data.rendering import render_clean
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.methods import return_frame_b


@pytest.fixture(scope="session")
def small_set():
    """Six procedural pairs of 48 px."""
    return sets.validation_set(None, pairs=6, size=48)


@pytest.fixture
def copying():
    """Methods that know nothing: two copies of frame B."""
    return {"frame_b": return_frame_b, "copy": lambda a, b, alpha: b.clone()}


@pytest.fixture(scope="session")
def clean_target():
    """The renderer as a method's knowledge: exact targets of a batch of scenes."""

    def target(scenes, bank, size):
        with torch.inference_mode():
            return render_clean(scenes, bank, size).target

    return target
