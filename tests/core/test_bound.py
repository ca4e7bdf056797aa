"""Bounds in print: never on the wrong side of the truth, and close to it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedrun.core.bound import downwards, is_bound, upwards

TRUE = 20.125023545908295
positive = st.one_of(st.floats(1e-9, 1e9), st.floats(0.01, 100), st.floats(5, 25))


@settings(max_examples=500)
@given(positive)
@example(TRUE)
@example(9999.99999)
@example(0.0009999999)
def test_what_is_read_back_is_a_bound_and_close(value: float) -> None:
    above, below = float(upwards(value)), float(downwards(value))
    assert value <= above <= value * 1.001 * (1 + 1e-12)
    assert value * 0.999 * (1 - 1e-12) <= below <= value


def test_in_print() -> None:
    assert upwards(TRUE) == "20.1251"
    assert downwards(TRUE) == "20.1250"
    assert upwards(20.12504) == "20.1251"
    assert downwards(20.12509) == "20.1250"


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1.1, 8.0, 3.25, 12, 123.4567, 0.01234])
def test_a_short_number_stays_as_it_is(value: float) -> None:
    assert float(upwards(value)) == float(downwards(value)) == value


def test_no_bound_at_all() -> None:
    assert upwards(float("inf")) == "infinite"
    assert upwards(float("nan")) == "nan"


def test_which_figures_are_bounds() -> None:
    assert is_bound("privacy/epsilon")
    assert is_bound("privacy/epsilon_simulated")
    assert not is_bound("test/loss")
