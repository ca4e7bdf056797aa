"""How often one takes part, against the cohorts that are really drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.accounting.participation import (
    most_turns,
    separation,
    tree_sensitivity,
    turns_within,
)
from fedrun.accounting.parts import parts
from fedrun.core.cohort import cyclic, shuffled
from fedrun.core.privacy import Event, Sampling

federations = st.integers(2, 12).flatmap(
    lambda population: st.tuples(st.just(population), st.integers(1, population))
)
schemes = st.sampled_from(["cyclic", "shuffled"])


def drawn(scheme, population, cohort, rounds):
    """bool [rounds, clients]: who is in which round."""
    draw = cyclic(population, cohort) if scheme == "cyclic" else shuffled(3, population, cohort)
    there = np.zeros((rounds, population), dtype=bool)
    for round in range(rounds):
        there[round, draw(round + 1)] = True
    return there


@settings(max_examples=60, deadline=None)
@given(schemes, federations, st.integers(1, 40))
def test_nobody_takes_part_more_often(scheme, federation, rounds):
    sampling = Sampling(scheme=scheme, population=federation[0], cohort=federation[1])
    there = drawn(scheme, *federation, 40)
    assert there[:rounds].sum(0).max() <= most_turns(sampling, rounds)
    windows = np.lib.stride_tricks.sliding_window_view(there, rounds, axis=0).sum(-1)
    assert windows.max() <= turns_within(sampling, rounds)


def test_turns_by_hand():
    cyclical = Sampling(scheme="cyclic", population=10, cohort=4)
    assert [most_turns(cyclical, rounds) for rounds in (1, 2, 3, 5, 6)] == [1, 1, 2, 2, 3]
    passes = Sampling(scheme="shuffled", population=10, cohort=4)  # two rounds a pass
    assert [most_turns(passes, rounds) for rounds in (1, 2, 3, 5)] == [1, 1, 2, 3]
    assert [turns_within(passes, rounds) for rounds in (1, 2, 3, 5)] == [1, 2, 2, 3]
    assert [separation(cyclical), separation(passes)] == [2, 1]


@settings(max_examples=60, deadline=None)
@given(schemes, federations, st.integers(1, 40), st.integers(0, 17))
def test_nobody_moves_the_nodes_of_trees_farther(scheme, federation, rounds, restart):
    sampling = Sampling(scheme=scheme, population=federation[0], cohort=federation[1])
    there = drawn(scheme, *federation, rounds).astype(float)
    moved = np.zeros(federation[0])
    for begin in range(0, rounds, restart or rounds):
        leaves = there[begin : begin + (restart or rounds)]
        width = 1
        while width <= len(leaves):  # every node that is complete, on each level
            for start in range(0, len(leaves) - width + 1, width):
                moved += leaves[start : start + width].sum(0) ** 2
            width *= 2
    turns = most_turns(sampling, rounds)
    assert moved.max() <= tree_sensitivity(sampling, rounds, restart, turns)


def test_trees_by_hand():
    rare = Sampling(scheme="cyclic", population=1000, cohort=1)
    assert tree_sensitivity(rare, 1000, 0, 1) == 10
    assert tree_sensitivity(rare, 4000, 1000, 4) == 40
    assert tree_sensitivity(rare, 1024, 0, 2) == 2 * (10 + 2)  # the root alone holds both turns
    everybody = Sampling(scheme="full", population=3, cohort=3)
    assert tree_sensitivity(everybody, 4, 0, 4) == 4 * (1 + 2 + 4)


@pytest.mark.parametrize(("cuts", "turns"), [([10], 5), ([4, 6], 5), ([3, 7], 6), ([1] * 10, 10)])
def test_m26_rounds_left_out_or_made_again_end_a_stretch(cuts, turns):
    sampling = Sampling(scheme="cyclic", population=10, cohort=5)
    event = Event(sampling=sampling, noise_multiplier=1.0)
    assert parts([(event, rounds) for rounds in cuts], "zero_out").gaussian == turns


def test_a_later_stretch_may_begin_within_a_pass():
    sampling = Sampling(scheme="shuffled", population=8, cohort=2)
    event = Event(sampling=sampling, noise_multiplier=1.0)
    assert parts([(event, 3)], "zero_out").gaussian == 1
    assert parts([(event, 3), (event, 3)], "zero_out").gaussian == 1 + 2
