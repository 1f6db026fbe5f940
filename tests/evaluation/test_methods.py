"""Methods without training beside magnifiers: their names, and that they are what they are called."""

import pytest
import torch

from lightning_mm.classical.methods import METHODS
from lightning_mm.classical.shared import magnify_pair
from lightning_mm.errors import InputError
from lightning_mm.evaluation.methods import methods, titles

CPU = torch.device("cpu")
NAMES = {"linear": "linear_eulerian", "phase": "phase_based", "riesz": "riesz"}


def test_linear_alone_is_there_by_default():
    assert list(methods([], CPU)) == ["frame_b", "linear_eulerian"]
    assert list(methods([], CPU, [])) == ["frame_b"]


@pytest.mark.parametrize("classical", NAMES)
def test_each_is_the_method_of_its_name(classical):
    found = methods([], CPU, [classical])
    assert list(found) == ["frame_b", NAMES[classical]]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 32, 40, generator=generator) - 0.5 for _ in range(2))
    alpha = torch.tensor([2.0, 20.0])
    output = found[NAMES[classical]](a, b, alpha)
    assert torch.equal(output, magnify_pair(METHODS[classical](), a, b, alpha))
    assert output.abs().max() <= 1.0
    assert not torch.allclose(output, b, atol=0.01)


def test_their_order_is_that_of_the_request_and_their_titles_are_words():
    found = methods([], CPU, ["riesz", "phase", "linear"])
    assert list(titles(found).values()) == ["return frame B", "Riesz pyramid", "phase-based", "linear Eulerian"]


@pytest.mark.parametrize("classical", [["optical_flow"], ["linear", "linear"]])
def test_unknown_names_and_repeated_ones_are_refused(classical):
    with pytest.raises(InputError, match="must be some of linear, phase, riesz, each once") as caught:
        methods([], CPU, classical)
    assert f"classical = {classical}" in str(caught.value)
