"""Numbers as tables show them."""

import math

import numpy as np
import pytest

from lightning_mm.evaluation.protocol import known, mean_and_error, number


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((None, 3), "-"),
        ((1.23456, 3), "1.235"),
        ((-0.0001, 2), "0.00"),
        ((0.5, 2, 0.125), "0.50 ± 0.12"),
        ((-0.0001, 2, None, True), "+0.00"),
        ((2.5, 1, None, True), "+2.5"),
    ],
)
def test_numbers_of_tables(arguments, text):
    assert number(*arguments) == text


def test_mean_and_its_standard_error():
    values = [1.0, 2.0, 4.0]
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(np.mean(values))
    assert error == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    assert mean_and_error([2.0]) == (2.0, None)
    assert mean_and_error([]) == (None, None)


def test_what_json_lacks_is_null():
    assert [known(v) for v in (1.5, math.nan, math.inf, np.float64(2.0))] == [1.5, None, None, 2.0]
