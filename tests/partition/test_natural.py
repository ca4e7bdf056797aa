import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.partition.natural import natural


def test_rows_go_to_their_owners_and_owners_without_a_training_row_are_left_out(labelled):
    dataset = labelled(
        [0, 1, 0, 1],
        [0, 1, 0],
        owner=[2, 0, 2, 0],
        test_owner=[0, 1, 2],
        names=["anna", "bert", "cleo"],
    )
    partition = natural(dataset, None, generator(0, "partition"))
    assert partition.names == ("anna", "cleo")
    assert [held.tolist() for held in (partition.train[0], partition.train[1])] == [[1, 3], [0, 2]]
    assert [held.tolist() for held in (partition.test[0], partition.test[1])] == [[0], [2]]
    assert partition.rule == "natural/owner@1"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.lists(st.integers(0, 12)))
def test_each_client_holds_exactly_its_owners_rows(labelled, owner, test_owner):
    dataset = labelled([0] * len(owner), [0] * len(test_owner), owner=owner, test_owner=test_owner)
    partition = natural(dataset, len(set(owner)), generator(0, "partition"))
    for client, name in enumerate(partition.names):
        mine = [row for row, number in enumerate(owner) if number == int(name)]
        mine_to_test = [row for row, number in enumerate(test_owner) if number == int(name)]
        assert partition.train[client].tolist() == mine
        assert partition.test[client].tolist() == mine_to_test
    assert len(partition) == len(set(owner))


def test_a_test_set_without_owners_is_dealt_by_label(labelled):
    dataset = labelled([0, 0, 1, 1], [1, 0, 1, 0], owner=[0, 0, 1, 1])
    partition = natural(dataset, None, generator(0, "partition"))
    assert partition.test[0].tolist() == [1, 3]
    assert partition.test[1].tolist() == [0, 2]


def test_another_count_is_refused(labelled):
    dataset = labelled([0, 1], owner=[0, 1])
    with pytest.raises(ConfigError, match=r"has 2 clients in data=toy; leave .* \(it is 3\)"):
        natural(dataset, 3, generator(0, "partition"))


def test_data_without_owners_name_the_other_choices(labelled):
    with pytest.raises(
        ConfigError, match="names no owners; take partition=iid, dirichlet or shards"
    ):
        natural(labelled([0, 1]), None, generator(0, "partition"))
    with pytest.raises(ConfigError, match="take partition=iid or shards"):
        natural(labelled([0.5], [0.5], kind="number"), None, generator(0, "partition"))
    text = labelled([[1, 2]], [[2, 2]], kind="tokens")
    with pytest.raises(ConfigError, match="take partition=iid and set"):
        natural(text, None, generator(0, "partition"))
