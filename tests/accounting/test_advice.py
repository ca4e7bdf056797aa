"""What is said beside an epsilon."""

from math import inf

import pytest

from fedrun.accounting.advice import advice, doubtful_delta, drowned, says_little


@pytest.mark.parametrize(
    ("delta", "population", "warns"),
    [(1e-5, 10_000, False), (2e-5, 10_000, True), (1e-3, 1000, True), (0.9, None, False)],
)
def test_m23_delta_is_well_below_one_over_the_participants(delta, population, warns):
    assert bool(doubtful_delta(delta, population)) == warns


def test_m23_the_warning_says_how_many_may_be_laid_open():
    said = doubtful_delta(1e-3, 5000)
    assert "lets 5 of them be laid open" in said
    assert said.endswith("take 2e-05 or less")


def test_noise_longer_than_any_update():
    assert not drowned(1.0, 100, 10_000)  # z sqrt(d) / m = 1
    said = drowned(2.0, 100, 40_000)
    assert "4 times as long" in said
    assert "cohort of 400" in said
    assert not drowned(9.0, None, 40_000)
    assert not drowned(9.0, 10, None)


def test_an_epsilon_that_says_little():
    assert not says_little(4.0, 1.0, 100, 3400, lambda target: 2.0)
    said = says_little(6.5, 1.0, 100, 3400, lambda target: 2.0)
    assert "99.8 % sure" in said
    assert "epsilon 20.1251 lets" in says_little(20.125023545908295, 0.0, None, None, None)
    assert "noise multiplier of 2" in said
    assert "cohort of 200 out of 6,800" in said
    assert "cohort" not in says_little(6.5, 1.0, None, None, lambda target: 2.0)


def test_no_noise_no_protection():
    assert "nothing is protected" in says_little(inf, 0.0, 1, 1, None)


def test_all_is_well():
    assert advice(1.0, 1e-6, 1.0, 1000, 10_000, 5000, None) == []
