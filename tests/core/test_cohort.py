import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.cohort import cohorts, in_proportion


@given(st.integers(0, 99), st.integers(1, 99), st.integers(1, 30), st.data())
def test_a_cohort_is_sorted_and_without_replacement(seed, round, clients, data):
    size = data.draw(st.integers(1, clients))
    weights = data.draw(st.none() | st.just(2.0 ** np.arange(clients)))
    cohort = cohorts(seed, clients, size, weights)(round)
    assert cohort.tolist() == sorted(set(cohort.tolist()))
    assert len(cohort) == size
    assert set(cohort.tolist()) <= set(range(clients))
    assert cohort.dtype == np.int64


def test_a_cohort_of_all_is_everybody():
    assert cohorts(3, 5, 5)(1).tolist() == [0, 1, 2, 3, 4]


def test_rounds_and_seeds_have_cohorts_of_their_own_that_repeat_themselves():
    def drawn(seed, round):
        return tuple(cohorts(seed, 1000, 10, np.ones(1000))(round))

    assert len({drawn(0, 1), drawn(0, 2), drawn(1, 1)}) == 3
    assert drawn(0, 1) == drawn(0, 1)


def frequency(clients, size, weights, rounds=4000):
    seen, cohort = np.zeros(clients), cohorts(11, clients, size, weights)
    for round in range(rounds):
        seen[cohort(round)] += 1
    return seen / rounds


def chance(size, weights):
    """Who is in, when clients are taken one after the other in proportion to their weights."""
    total = np.zeros(len(weights))
    for order in permutations(range(len(weights)), size):
        left, probability = sum(weights), 1.0
        for client in order:
            probability *= weights[client] / left if left > 0 else 0
            left -= weights[client]
        total[list(order)] += probability
    return total


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(
    "weights", [[1.0, 2.0, 3.0, 10.0], [5.0, 0.0, 1.0, 1.0], [1e9, 3.0, 1.0, 2.0]]
)
def test_the_frequencies_of_a_cohort(size, weights):
    # Four sd of a frequency near one half over 4,000 rounds.
    tolerance = 4 * 0.5 / np.sqrt(4000)
    expected = pytest.approx(chance(size, weights), abs=tolerance)
    assert frequency(4, size, np.array(weights)) == expected
    assert frequency(4, size, None) == pytest.approx([size / 4] * 4, abs=tolerance)


@pytest.mark.parametrize("weights", [[1.0, 0.5], [3.0, -1.0], [1.0, 0.0], [2.0**53, 1.0]])
def test_weights_that_cannot_be_summed_exactly_or_drawn_are_refused(weights):
    with pytest.raises(AssertionError):
        cohorts(0, 3, 2, np.array([*weights, 0.0]))


class Points:
    """A generator whose points on the line are given."""

    def __init__(self, *batches):
        self.batches = list(batches)

    def random(self, size):
        points = np.array(self.batches.pop(0))
        assert len(points) == size
        return points


def test_the_draw_by_hand():
    # Stretches [0, 1), [1, 1), [1, 4), [4, 5). First the points 2 and 3, both on client 2. Without
    # its stretch the line is [0, 1) and [4, 5): half of it is client 0, the rest client 3.
    ends = np.array([1.0, 1.0, 4.0, 5.0])
    assert in_proportion(Points([0.4, 0.6], [0.5]), ends, 2).tolist() == [2, 3]
    assert in_proportion(Points([0.4, 0.6], [0.499]), ends, 2).tolist() == [0, 2]
    # A point beyond the end, as rounding could give, is drawn again.
    assert in_proportion(Points([1.0], [0.0]), ends, 1).tolist() == [0]


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 1_000_001)])
def test_a_round_touches_nothing_of_the_size_of_the_population(weights):
    cohort = cohorts(0, 1_000_000, 100, weights)
    cohort(0)
    tracemalloc.start()
    cohort(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
