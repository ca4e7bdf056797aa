"""The fixed split: sizes by hand, and laws for any labels and owners."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedrun.data._random import generator
from fedrun.data._split import largest_remainders, stratified


def test_largest_remainders_by_hand() -> None:
    # Quotas 2.0, 1.4, 0.6: floors 2, 1, 0; round(4.0) - 3 = 1 left, to the remainder 0.6.
    take = largest_remainders(np.array([10, 7, 3]), 0.2, generator(0, "split"))
    assert take.tolist() == [2, 1, 1]


def test_ties_are_broken_at_random() -> None:
    # Ten cells of one row each, two to give: every cell must get its turn.
    ones = np.ones(10, np.int64)
    chosen = {
        int(cell)
        for seed in range(60)
        for cell in np.flatnonzero(largest_remainders(ones, 0.2, generator(seed, "split")))
    }
    assert chosen == set(range(10))


def test_split_is_fixed_by_its_seed() -> None:
    label = np.arange(100) % 5
    first, again = stratified(label, 0.2, 3)[1], stratified(label, 0.2, 3)[1]
    assert first.tolist() == again.tolist()
    assert first.tolist() != stratified(label, 0.2, 4)[1].tolist()
    assert np.bincount(label[first]).tolist() == [4] * 5


def test_split_rows_do_not_change_from_version_to_version() -> None:
    assert stratified(np.arange(20) % 2, 0.2, 0)[1].tolist() == [8, 13, 14, 19]


def test_split_within_owners() -> None:
    owner = np.repeat([0, 1], [50, 10])
    _, test = stratified(np.zeros(60, np.int64), 0.2, 0, owner)
    assert np.bincount(owner[test]).tolist() == [10, 2]


@given(
    repeats=st.lists(st.integers(2, 12), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    owners=st.integers(1, 8),
    seed=st.integers(-5, 2**70),
)
def test_halves_are_disjoint_cover_and_hold_every_label(
    repeats: list[int], fraction: float, owners: int, seed: int
) -> None:
    label = np.repeat(np.arange(len(repeats)), repeats)
    owner = np.random.default_rng(0).integers(owners, size=len(label))
    train, test = stratified(label, fraction, seed, owner)
    assert sorted(np.concatenate([train, test]).tolist()) == list(range(len(label)))
    assert set(label[train]) == set(label[test]) == set(label)
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=10), fraction=st.floats(0.01, 0.99))
def test_largest_remainders_stay_within_one_of_the_quota(sizes: list[int], fraction: float) -> None:
    array = np.array(sizes)
    take = largest_remainders(array, fraction, generator(0, "split"))
    assert take.sum() == int(fraction * array.sum() + 0.5)
    assert (np.abs(take - array * fraction) < 1).all()
    assert (take <= array).all()
