import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.partition.natural import natural
from fedrun.partition.natural_dealt import natural_dealt


class Backwards:
    """A generator whose permutations are the numbers from the last to the first."""

    def permutation(self, count):
        return np.arange(count)[::-1]


def test_owners_are_permuted_and_cut_by_hand(labelled):
    # Owners 1, 3, 4, 6, 8 backwards in two parties, the larger first: 8 6 4 and 3 1.
    dataset = labelled(
        [0] * 7, [0] * 5, owner=[3, 8, 1, 4, 6, 3, 8], test_owner=[1, 2, 8, 9, 4], names="abcdefghi"
    )
    partition = natural_dealt(dataset, 2, Backwards())
    assert partition.rule == "natural/dealt_owners@1"
    assert [partition.train[client].tolist() for client in range(2)] == [[1, 3, 4, 6], [0, 2, 5]]
    # 2 and 9 have no training row: nobody holds theirs, and the global test set keeps them.
    assert [partition.test[client].tolist() for client in range(2)] == [[2, 4], [0]]
    assert partition.data is None
    assert tuple(partition.names) == ("0", "1")


@given(
    owner=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    test_owner=st.lists(st.integers(0, 12)),
    count=st.integers(1, 10),
    seed=st.integers(0, 100),
)
def test_each_owner_is_whole_with_one_client_and_each_client_has_as_many(
    labelled, owner, test_owner, count, seed
):
    dataset = labelled([0] * len(owner), [0] * len(test_owner), owner=owner, test_owner=test_owner)
    if count > len(set(owner)):
        most = len(set(owner))
        with pytest.raises(
            ConfigError, match=rf"clients\.count={count} .* accepted is 1 to {most},"
        ):
            natural_dealt(dataset, count, generator(seed, "partition"))
        return
    partition = natural_dealt(dataset, count, generator(seed, "partition"))
    owners = [set(dataset.train.client[partition.train[client]]) for client in range(count)]
    assert set.union(*owners) == set(owner)
    assert sum(map(len, owners)) == len(set(owner))
    sizes = [len(mine) for mine in owners]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1
    for client in range(count):
        mine = [row for row, number in enumerate(owner) if number in owners[client]]
        assert partition.train[client].tolist() == mine
        mine = [row for row, number in enumerate(test_owner) if number in owners[client]]
        assert partition.test[client].tolist() == mine


def test_as_many_clients_as_owners_is_natural_in_another_order(labelled):
    owner = np.arange(50) % 8
    dataset = labelled(np.arange(50) % 3, np.arange(9) % 3, owner=owner, test_owner=owner[:9])
    dealt = natural_dealt(dataset, 8, generator(0, "partition"))
    whole = natural(dataset, None, generator(0, "partition"))

    def held(partition):
        return [(partition.train[k].tolist(), partition.test[k].tolist()) for k in range(8)]

    assert held(dealt) != held(whole)
    assert sorted(held(dealt)) == sorted(held(whole))


def test_a_test_set_without_owners_is_dealt_by_label(labelled):
    dataset = labelled([0, 0, 1, 1], [1, 0, 1, 0], owner=[0, 0, 1, 1])
    partition = natural_dealt(dataset, 2, Backwards())
    assert [partition.test[client].tolist() for client in range(2)] == [[0, 2], [1, 3]]


def test_any_two_owners_meet_as_often_as_chance_has_it(labelled):
    dataset = labelled([0] * 4, owner=[0, 1, 2, 3])
    with_first = np.zeros(4)
    for seed in range(300):
        partition = natural_dealt(dataset, 2, generator(seed, "partition"))
        with_first[
            next(held for held in map(partition.train.__getitem__, range(2)) if 0 in held)
        ] += 1
    # Each of three is the other one in a third of the 300 draws: 100, sd 8.2.
    assert with_first[0] == 300
    assert with_first[1:].min() > 60


def test_data_without_owners_are_refused(labelled):
    with pytest.raises(ConfigError, match="partition=natural_dealt: data=toy names no owners"):
        natural_dealt(labelled([0, 1]), 2, generator(0, "partition"))
