"""Small sets and methods to judge."""

import pytest
import torch

from lightning_mm.data.rendering import render_clean
from lightning_mm.evaluation import sets
from lightning_mm.evaluation.methods import FRAME_B, MagnifierMethod, return_frame_b
from lightning_mm.evaluation.protocol import Bench, Options
from lightning_mm.models import Magnifier, MagnifierConfig

ARCH = MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4)


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


@pytest.fixture
def tiny_magnifier():
    """A network of no use."""
    torch.manual_seed(0)
    return MagnifierMethod(Magnifier(ARCH))


@pytest.fixture
def bench():
    """Makes a bench of methods and a validation set, if any; "return frame B" is always among them."""

    def make(methods, data=None, **options):
        options = Options(**{"samples": 3, "pairs": 6, "size": 48, "lpips": "off", "clips": 1, **options})
        found = {**methods, FRAME_B: return_frame_b}
        sets = {} if data is None else {"procedural": data}
        return Bench(found, torch.device("cpu"), options, sets, lambda text: None)

    return make
