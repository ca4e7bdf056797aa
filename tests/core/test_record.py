"""Rows by columns, and the lines they are written as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.record import Rows
from fedrun.experiment.files import json_line, json_lines

CELLS = {
    "whole": st.integers(-(10**12), 10**12),
    "real": st.floats(allow_nan=False, allow_infinity=False),
    "text": st.text(),
    "truth": st.booleans(),
}


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    columns = {}
    for name in draw(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True)):
        cells = CELLS[draw(st.sampled_from(sorted(CELLS)))]
        if draw(st.booleans()):
            columns[name] = [draw(cells)] * count
        else:
            maybe = cells | st.none() if draw(st.booleans()) else cells
            columns[name] = [draw(maybe) for _ in range(count)]
    return Rows(columns)


@given(tables())
def test_lines_by_columns_are_the_lines_of_the_rows(rows):
    assert json_lines(rows) == b"".join(map(json_line, rows))


def test_zeros_keep_their_signs():
    assert json_lines(Rows({"a%s": [0.0, -0.0]})) == b'{"a%s": 0.0}\n{"a%s": -0.0}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        json_lines(Rows({"a": [1.0, value]}))


def test_rows_are_read_as_a_sequence():
    rows = Rows({"client": [4, 7, 9], "loss": [0.5, None, 1.5]})
    assert list(rows) == [{"client": 4, "loss": 0.5}, {"client": 7}, {"client": 9, "loss": 1.5}]
    assert rows[1:] == [{"client": 7}, {"client": 9, "loss": 1.5}]
    assert rows[-1] == {"client": 9, "loss": 1.5}
    assert len(rows) == 3
    assert len(Rows()) == 0
