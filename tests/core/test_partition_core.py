import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.partition import Numbers, Partition, Ragged, matched_test, partition


def data(train, test):
    num_classes = max([*train, *test, 0]) + 1
    splits = (
        Split(np.zeros((len(labels), 1), np.float32), np.array(labels, np.int64))
        for labels in (train, test)
    )
    names = tuple(map(str, range(num_classes)))
    return Dataset("toy", Spec((1,), num_classes, "classes", names), *splits)


def numbers(train, test):
    splits = (
        Split(np.zeros((n, 1), np.float32), np.zeros((n, 1), np.float32)) for n in (train, test)
    )
    return Dataset("toy", Spec((1,), 1, "number"), *splits)


def lists(ragged):
    return [ragged[client].tolist() for client in range(len(ragged))]


def test_ragged_by_hand():
    ragged = Ragged.of([np.array([4, 2]), np.array([], np.int64), np.array([7])])
    assert ragged.rows.tolist() == [4, 2, 7]
    assert ragged.offsets.tolist() == [0, 2, 2, 3]
    assert ragged.sizes.tolist() == [2, 0, 1]
    assert ragged.owner.tolist() == [0, 0, 2]
    assert lists(ragged) == [[4, 2], [], [7]]
    assert ragged.rows.dtype == ragged.offsets.dtype == np.int64


def test_ragged_of_nobody():
    ragged = Ragged.of([])
    assert len(ragged) == 0
    assert ragged.owner.tolist() == []


@given(st.lists(st.lists(st.integers(0, 99))))
def test_ragged_gives_back_what_it_was_made_of(rows):
    assert lists(Ragged.of([np.array(held, np.int64) for held in rows])) == rows


def test_counts_by_hand():
    dataset = data([0, 1, 1, 2], [2, 0])
    made = partition("rule@1", dataset, [np.array([2, 0]), np.array([1, 3])])
    assert made.counts(dataset.train, dataset.spec).tolist() == [[1, 1, 0], [0, 1, 1]]
    assert made.counts(dataset.test, dataset.spec, test=True).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_counts_of_numbers_are_sizes():
    dataset = numbers(3, 1)
    made = partition("rule@1", dataset, [np.array([0]), np.array([1, 2])])
    assert made.counts(dataset.train, dataset.spec).tolist() == [[1], [2]]


def test_partition_sorts_rows_and_numbers_the_clients():
    made = partition("rule@1", data([0] * 4, [0]), [np.array([3, 1]), np.array([2, 0])])
    assert lists(made.train) == [[1, 3], [0, 2]]
    assert made.names == ("0", "1")


def test_numbers_are_names_when_asked_for():
    names = Numbers(np.array([3, 10, 11]))
    assert (len(names), names[1], names[-1], names[:2]) == (3, "10", "11", ("3", "10"))
    assert names == ("3", "10", "11")
    assert names != ("3", "10", "12")
    assert list(names) == ["3", "10", "11"]


def test_the_fingerprint_sees_rule_rows_and_owners():
    def fingerprint(rule, *rows):
        held = Ragged.of([np.array(row) for row in rows])
        return Partition(rule, held, Ragged.of([]), ()).fingerprint

    prints = [
        fingerprint("a@1", [0, 1], [2]),
        fingerprint("a@2", [0, 1], [2]),
        fingerprint("a@1", [0], [1, 2]),
        fingerprint("a@1", [0, 2], [1]),
    ]
    assert len(set(prints)) == 4
    assert prints[0] == fingerprint("a@1", [0, 1], [2])


def test_the_test_set_is_matched_by_hand():
    # Class 0: client 0 trains on three rows of four, client 1 on one. Class 1: client 1 alone.
    # Class 2: nobody.
    dataset = data([0, 0, 0, 0, 1, 1], [0, 1, 0, 1, 0, 2, 0])
    held = Ragged.of([np.array([0, 1, 2]), np.array([3, 4, 5])])
    assert lists(matched_test(dataset, held)) == [[0, 2, 4], [1, 3, 6]]


@given(st.data())
def test_matched_shares_are_disjoint_whole_and_in_proportion(draw):
    label = st.integers(0, 3)
    train = draw.draw(st.lists(label, min_size=1, max_size=40))
    test = draw.draw(st.lists(label, max_size=60))
    count = draw.draw(st.integers(1, 6))
    owner = np.array(
        draw.draw(st.lists(st.integers(0, count - 1), min_size=len(train), max_size=len(train)))
    )
    dataset = data(train, test)
    held = Ragged.of([np.flatnonzero(owner == client) for client in range(count)])
    dealt = matched_test(dataset, held)
    assert len(dealt) == count
    assert sorted(dealt.rows) == [row for row, c in enumerate(test) if c in set(train)]
    assert all(rows == sorted(rows) for rows in lists(dealt))
    made = Partition("rule@1", held, dealt, ())
    train_counts = made.counts(dataset.train, dataset.spec)
    test_counts = made.counts(dataset.test, dataset.spec, test=True)
    fair = train_counts / np.maximum(train_counts.sum(axis=0), 1) * test_counts.sum(axis=0)
    assert np.abs(test_counts - fair).max() <= 1


def test_a_cut_between_two_test_rows_goes_to_the_nearest():
    # Thirds of four test rows: cuts at 1.33, 2.67 and 4.
    held = Ragged.of([np.array([client]) for client in range(3)])
    assert lists(matched_test(data([0] * 3, [0] * 4), held)) == [[0], [1, 2], [3]]


def test_numbers_are_matched_by_size():
    held = Ragged.of([np.arange(6), np.arange(6, 8)])
    assert lists(matched_test(numbers(8, 4), held)) == [[0, 1, 2], [3]]


def test_an_empty_test_set_leaves_everybody_empty():
    assert lists(matched_test(data([0, 1], []), Ragged.of([np.array([0]), np.array([1])]))) == [
        [],
        [],
    ]
