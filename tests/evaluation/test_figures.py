"""Figures of protocols: ticks that can be read, names that are text."""

import pytest

from lightning_mm.evaluation.figures import Axis, series
from lightning_mm.reporting.style import log_ticks


@pytest.mark.parametrize("ends", [(-1.4, 0.0), (-0.05, 0.05), (-6.0, 6.0), (0.31, 0.69)])
def test_ticks_of_a_log_axis_are_whole_numbers_within_its_ends(ends):
    found = log_ticks(*ends)
    assert [float(text) for text in found["ticktext"]] == pytest.approx(found["tickvals"])
    low, high = (10.0**end for end in ends)
    every = [float(f"{digit}e{exponent}") for exponent in range(-7, 8) for digit in "125"]
    assert found["tickvals"] == pytest.approx([tick for tick in every if low <= tick <= high])


def test_a_log_axis_has_them_and_a_linear_one_its_own():
    rows = [{"method": "a<b", "motion": motion, "ssim": 0.5} for motion in (0.04, 0.2, 1.0)]
    figure = series(rows, Axis("motion", "motion", "log"), Axis("ssim", "SSIM"))
    assert {"0.05", "0.1", "0.2"} <= set(figure.layout.xaxis.ticktext)
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.yaxis.tickvals is None
    assert figure.data[0].name == "a&lt;b"
    assert list(figure.data[0].x) == [0.04, 0.2, 1.0]
