import numpy as np
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
    with pytest.raises(ConfigError, match=r"has 2 clients in data=toy; leave .* \(it is 3\)$"):
        natural(dataset, 3, generator(0, "partition"))


def test_fewer_clients_than_owners_are_pointed_to_the_two_ways_to_get_them(labelled):
    dataset = labelled([0] * 3, owner=[0, 1, 2])
    with pytest.raises(ConfigError, match=r"it is 2") as refusal:
        natural(dataset, 2, generator(0, "partition"))
    assert "partition.take=2 draws" in str(refusal.value)
    assert "partition=natural_dealt deals them all to 2 clients" in str(refusal.value)
    with pytest.raises(ConfigError, match=r"has 1 clients .* \(it is 2\)"):
        natural(dataset, 2, generator(0, "partition"), take=1)
    assert len(natural(dataset, 2, generator(0, "partition"), take=2)) == 2


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


OWNER = [5, 5, 5, 2, 2, 7, 9, 9]  # 3, 2, 1 and 2 rows
TEST_OWNER = [7, 2, 4, 9, 5, 2]  # 4 has no training row


def test_owners_with_few_rows_are_left_out_with_their_test_rows(labelled):
    dataset = labelled(
        [0] * 8, range(6), owner=OWNER, test_owner=TEST_OWNER, names=list("abcdefghij")
    )
    partition = natural(dataset, None, generator(0, "partition"), least=2)
    assert partition.rule == "natural/kept_owners@1"
    assert partition.names == ("c", "f", "j")
    held = [partition.train[client].tolist() for client in range(3)]
    assert held == [[3, 4], [0, 1, 2], [6, 7]]
    # The test row of 7 is scored nowhere; that of 4, who never trains, is, as without options.
    assert partition.data.test.y.tolist() == [1, 2, 3, 4, 5]
    assert partition.data.test.client.tolist() == TEST_OWNER[1:]
    assert [partition.test[client].tolist() for client in range(3)] == [[0, 4], [3], [2]]
    assert partition.data.source == "test rows of the clients of natural/kept_owners@1"
    assert partition.data.train is dataset.train
    assert len(dataset.test) == 6


def test_data_of_which_nobody_is_left_out_stay_what_they_are(labelled):
    dataset = labelled([0] * 8, range(6), owner=OWNER, test_owner=TEST_OWNER)
    everybody = natural(dataset, None, generator(0, "partition"))
    same = natural(dataset, None, generator(0, "partition"), take=4)
    assert everybody.data is None
    assert same.data is None
    assert same.rule == "natural/kept_owners@1"
    for one, other in ((everybody.train, same.train), (everybody.test, same.test)):
        assert one.rows.tolist() == other.rows.tolist()
        assert one.offsets.tolist() == other.offsets.tolist()


def test_a_test_set_without_owners_is_scored_whole_and_dealt_to_those_who_stay(labelled):
    dataset = labelled([0, 0, 1, 1, 1], [1, 0, 1, 0], owner=[0, 0, 1, 1, 2])
    partition = natural(dataset, None, generator(0, "partition"), least=2)
    assert partition.data is None
    assert [partition.test[client].tolist() for client in range(2)] == [[1, 3], [0, 2]]


@given(
    owner=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    test_owner=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    least=st.integers(1, 6),
    take=st.none() | st.integers(1, 8),
    seed=st.integers(0, 100),
)
def test_who_stays_has_enough_rows_and_nobody_elses_is_held_or_scored(
    labelled, owner, test_owner, least, take, seed
):
    dataset = labelled([0] * len(owner), range(len(test_owner)), owner=owner, test_owner=test_owner)
    enough = {number for number in owner if owner.count(number) >= least}
    partition, refusal = None, ""
    try:
        partition = natural(dataset, None, generator(seed, "partition"), least=least, take=take)
    except ConfigError as error:
        refusal = str(error)
    if not enough:
        most = max(map(owner.count, owner))
        assert f"partition.least={least}: accepted is 1 to {most}," in refusal
    elif take is not None and take > len(enough):
        assert f"partition.take={take}: accepted is 1 to {len(enough)}," in refusal
    elif partition is None:
        assert "leave no test row" in refusal
        assert set(test_owner) <= set(owner)
    if partition is None:
        return
    kept = {int(name) for name in partition.names}
    assert kept <= enough
    assert len(kept) == len(partition) == (len(enough) if take is None else take)
    for client, name in enumerate(partition.names):
        mine = [row for row, number in enumerate(owner) if number == int(name)]
        assert partition.train[client].tolist() == mine
        # The label of a test row is its number in the data as they came.
        labels = (partition.data or dataset).test.y[partition.test[client]].tolist()
        assert labels == [row for row, number in enumerate(test_owner) if number == int(name)]
    scored = (partition.data or dataset).test.client.tolist()
    strangers = set(test_owner) - set(owner)
    chosen = least > 1 or take is not None
    assert scored == [n for n in test_owner if n in kept | strangers or not chosen]


def test_a_smaller_take_of_the_same_seed_keeps_some_of_the_same_owners(labelled):
    owner = np.repeat(np.arange(40), np.arange(1, 41))
    dataset = labelled([0] * len(owner), owner=owner)

    def kept(take, seed=0):
        draw = generator(seed, "partition")
        return {int(name) for name in natural(dataset, None, draw, least=11, take=take).names}

    assert kept(5) < kept(6) < kept(29) < kept(30) == set(range(10, 40))
    assert kept(5) == kept(5)
    assert kept(5) != kept(5, seed=1)
    often = np.bincount([n for seed in range(300) for n in kept(10, seed)], minlength=40)
    assert not often[:10].any()
    # 100 are expected of each, with sd 8.2: 300 seeds, a third of 30 owners.
    assert often[10:].min() > 60
    assert often[10:].max() < 140


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"least": 4},
            r"partition\.least=4: accepted is 1 to 3, the .* largest owner in data=toy$",
        ),
        (
            {"take": 5},
            r"partition\.take=5: accepted is 1 to 4, .* partition\.least=1 training rows$",
        ),
        ({"least": 2, "take": 4}, r"accepted is 1 to 3, .* at least partition\.least=2"),
        ({"least": 3}, "leave no test row of data=toy; take more owners"),
    ],
)
def test_what_cannot_be_had_is_refused(labelled, options, message):
    dataset = labelled([0] * 8, [0], owner=OWNER, test_owner=[2])
    with pytest.raises(ConfigError, match=message):
        natural(dataset, None, generator(0, "partition"), **options)
