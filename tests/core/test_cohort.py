import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.cohort import cohorts, cyclic, in_proportion, lots, poisson, shuffled


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


@pytest.mark.slow
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


def test_coins_by_hand():
    coins = {1: [0.0, 0.49, 0.5, 0.99], 2: [0.9, 0.9, 0.9, 0.9], 3: [0.1, 0.2, 0.3, 0.4]}
    cohort = poisson(4, 0.5, lambda round: np.array(coins[round]))
    assert [cohort(round).tolist() for round in (1, 2, 3)] == [[0, 1], [], [0, 1, 2, 3]]
    assert cohort(2).dtype == np.int64


def test_lots_by_hand():
    cohort = lots(4, 2, lambda round: np.array([0.4, 0.1, 0.9, 0.2]))
    assert cohort(1).tolist() == [1, 3]
    assert lots(4, 4, lambda round: np.array([0.4, 0.1, 0.9, 0.2]))(1).tolist() == [0, 1, 2, 3]


def test_m02_a_binomial_count_of_coins():
    draws = np.random.default_rng(0)
    cohort = poisson(12, 0.2, lambda round: draws.random(12))
    came = np.zeros((100_000, 12))
    for round in range(100_000):
        came[round, cohort(round)] = 1
    assert came.mean(0) == pytest.approx(0.2, abs=5 * (0.16 / 1e5) ** 0.5)
    assert came.sum(1).var() == pytest.approx(12 * 0.16, rel=0.03)
    pairs = came.T @ came / 1e5
    assert pairs[~np.eye(12, dtype=bool)] == pytest.approx(0.04, abs=5 * (0.0384 / 1e5) ** 0.5)


def test_cyclic_by_hand():
    cohort = cyclic(5, 2)
    assert [cohort(round).tolist() for round in range(1, 6)] == [
        [0, 1], [2, 3], [0, 4], [1, 2], [3, 4]
    ]  # fmt: skip


@given(st.integers(1, 12), st.data())
def test_m26_nobody_has_more_turns_than_the_accountant_counts(clients, data):
    from fedrun.accounting.participation import most_turns, separation, turns_within
    from fedrun.core.privacy import Sampling

    size = data.draw(st.integers(1, clients))
    begin, rounds = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    for scheme, cohort in (
        ("cyclic", cyclic(clients, size)),
        ("shuffled", shuffled(7, clients, size)),
    ):
        sampling = Sampling(scheme=scheme, population=clients, cohort=size)
        for first, most in ((1, most_turns), (begin, turns_within)):
            who = [cohort(round).tolist() for round in range(first, first + rounds)]
            turns = [
                [n for n, came in enumerate(who) if client in came] for client in range(clients)
            ]
            assert max(map(len, turns)) <= most(sampling, rounds)
            gaps = [int(gap) for each in turns for gap in np.diff(each)]
            assert min(gaps, default=99) >= separation(sampling)
