"""Messages of foreign errors become one line, also where the error has no message at all."""

import pytest

from lightning_mm.errors import first_line, one_line


@pytest.mark.parametrize(
    ("error", "first", "whole"),
    [
        (OSError(), "OSError", "OSError"),
        (EOFError("\n  \n"), "EOFError", "EOFError"),
        (ValueError("\n  one  \n two\n"), "one", "one two"),
    ],
    ids=str,
)
def test_lines(error, first, whole):
    assert (first_line(error), one_line(error)) == (first, whole)
