import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.partition.shards import shards


@given(st.data())
def test_every_row_has_one_client_and_shards_are_even(labelled, data):
    rows = data.draw(st.integers(1, 90))
    each = data.draw(st.integers(1, min(4, rows)))
    count = data.draw(st.integers(1, rows // each))
    dataset = labelled(np.arange(rows) % 4)
    partition = shards(dataset, count, generator(3, "partition"), shards_per_client=each)
    assert sorted(partition.train.rows) == list(range(rows))
    assert partition.train.sizes.max() - partition.train.sizes.min() <= each
    again = shards(dataset, count, generator(3, "partition"), shards_per_client=each)
    assert again.fingerprint == partition.fingerprint


def test_the_split_of_mcmahan(labelled):
    dataset = labelled(np.random.default_rng(0).permutation(np.arange(60_000) % 10))
    partition = shards(dataset, 100, generator(0, "partition"))
    counts = partition.counts(dataset.train, dataset.spec)
    assert partition.train.sizes.tolist() == [600] * 100
    assert set(np.unique(counts)) <= {0, 300, 600}
    assert np.count_nonzero(counts, axis=1).max() == 2


def test_two_clients_with_one_shard_each_by_hand(labelled):
    # Sorted stably: rows 1 3 4 (label 0), 0 2 (label 1); five rows make shards of 3 and 2.
    partition = shards(labelled([1, 0, 1, 0, 0]), 2, generator(0, "partition"), shards_per_client=1)
    held = {tuple(partition.train[client]) for client in (0, 1)}
    assert held == {(1, 3, 4), (0, 2)}


def test_rows_of_one_label_keep_their_order(labelled):
    dataset = labelled(np.random.default_rng(1).permutation(np.arange(4000) % 2))
    partition = shards(dataset, 4, generator(0, "partition"), shards_per_client=1)
    held = {tuple(partition.train[client]) for client in range(4)}
    halves = (np.flatnonzero(dataset.train.y == c).reshape(2, 1000) for c in (0, 1))
    assert held == {tuple(half) for two in halves for half in two}


def test_the_deal_depends_on_the_seed(labelled):
    dataset = labelled(np.arange(100) % 10)
    prints = {shards(dataset, 10, generator(s, "partition")).fingerprint for s in range(5)}
    assert len(prints) == 5


def test_fewer_rows_than_shards_is_refused(labelled):
    with pytest.raises(ConfigError, match=r"makes 6 shards; data=toy has only 5 training rows"):
        shards(labelled([0, 1, 0, 1, 0]), 3, generator(0, "partition"))


def test_one_number_is_sorted_and_several_are_refused(labelled):
    targets = np.array([4.0, 1.0, 3.0, 2.0])
    dataset = labelled(targets, [0.0], kind="number")
    partition = shards(dataset, 2, generator(0, "partition"), shards_per_client=1)
    assert {tuple(partition.train[client]) for client in (0, 1)} == {(1, 3), (0, 2)}
    pair = labelled(np.ones((4, 2)), np.ones((1, 2)), kind="number")
    with pytest.raises(ConfigError, match="has 2 of them"):
        shards(pair, 2, generator(0, "partition"))


@pytest.mark.parametrize(("owner", "more"), [(None, ""), ([0, 1], " or partition=natural")])
def test_sequences_cannot_be_sorted(labelled, owner, more):
    dataset = labelled([[1, 2], [2, 3]], [[1, 1]], kind="tokens", owner=owner)
    with pytest.raises(ConfigError, match=f"has sequences of tokens .* take partition=iid{more}$"):
        shards(dataset, 1, generator(0, "partition"))
