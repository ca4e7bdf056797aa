import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.partition.iid import iid


@given(st.data())
def test_every_row_has_one_client_and_sizes_differ_by_at_most_one(labelled, data):
    rows = data.draw(st.integers(1, 80))
    count = data.draw(st.integers(1, rows))
    dataset = labelled(np.arange(rows) % 3)
    partition = iid(dataset, count, generator(5, "partition"))
    assert len(partition) == count
    assert sorted(partition.train.rows) == list(range(rows))
    assert partition.train.sizes.max() - partition.train.sizes.min() <= 1
    again = iid(dataset, count, generator(5, "partition"))
    assert again.fingerprint == partition.fingerprint


def test_seven_rows_over_three_clients(labelled):
    partition = iid(labelled([0] * 7), 3, generator(0, "partition"))
    assert partition.train.sizes.tolist() == [3, 2, 2]
    assert partition.rule == "iid/even@1"
    assert partition.names == ("0", "1", "2")


def test_the_rows_are_shuffled_and_the_seed_decides(labelled):
    dataset = labelled(np.zeros(1000))
    held = [iid(dataset, 2, generator(seed, "partition")).train[0] for seed in (0, 1)]
    assert (held[0] != held[1]).any()
    assert 150 < (held[0] < 500).sum() < 350


@pytest.mark.parametrize(
    ("count", "message"),
    [(None, "needs clients.count, which is null"), (5, "clients.count=5 .* 1 to 4"), (0, "1 to 4")],
)
def test_a_count_that_cannot_be_is_refused(labelled, count, message):
    with pytest.raises(ConfigError, match=message):
        iid(labelled([0, 1, 0, 1]), count, generator(0, "partition"))


def test_null_points_to_natural_where_the_data_name_owners(labelled):
    with pytest.raises(ConfigError, match="partition=natural takes"):
        iid(labelled([0, 1], owner=[0, 1]), None, generator(0, "partition"))


def test_regression_data_are_fine(labelled):
    partition = iid(labelled([0.5, 1.5, 2.5], [1.0], kind="number"), 3, generator(0, "partition"))
    assert partition.train.sizes.tolist() == [1, 1, 1]
    assert partition.test.sizes.sum() == 1


def test_sequences_count_as_examples(labelled):
    dataset = labelled([[1, 2]] * 6, [[2, 2]] * 4, kind="tokens")
    partition = iid(dataset, 3, generator(0, "partition"))
    assert partition.test.sizes.sum() == 4
    assert partition.counts(dataset.train, dataset.spec).tolist() == [[2], [2], [2]]
