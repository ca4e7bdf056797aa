"""What a user's own data set or partition has wrong is told in a line, before anything trains."""

import sys

import numpy as np
import pytest

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.partition import Numbers, Partition, Ragged
from fedrun.experiment.build import hold
from fedrun.experiment.compose import compose
from fedrun.experiment.sound import not_finite, refuse_missing, refuse_overlap

OWN = """
import numpy as np
from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.partition import Numbers, Partition, Ragged, partition


def data(*, double: bool = False, missing: bool = False) -> Dataset:
    '''Ten rows.'''
    x = np.ones((10, 2), np.float64 if double else np.float32)
    x[[3, 7], 1] = np.nan if missing else 0
    y = np.arange(10) % 2
    return Dataset("own", Spec((2,), 2, "classes", ("a", "b")), Split(x, y), Split(x, y))


def lists(dataset, *, last: int = 9) -> Partition:
    '''Two clients, by lists.'''
    rows = [np.array([0, 1, 2, 3, 4]), np.array([5, 6, 7, 8, last])]
    return partition("own/rule@1", dataset, rows)


def record(dataset, *, last: int = 9) -> Partition:
    '''Two clients, by hand, who share out the test rows.'''
    held = Ragged(np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, last]), np.array([0, 5, 10]))
    return Partition("own/rule@1", Ragged(np.arange(10), held.offsets), held, Numbers(range(2)))
"""


@pytest.fixture
def held(tmp_path, monkeypatch):
    """held(partition, overrides) -> what its clients hold of the user's own ten rows."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    (tmp_path / "own_parts.py").write_text(OWN)

    def make(partition, *more):
        words = ["data=own_parts:data", f"partition={partition}", "clients.count=2", *more]
        return hold(compose("train", words).values)

    return make


def refused(make, *words):
    with pytest.raises(ConfigError) as error:
        make(*words)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_own_data_set_of_a_wrong_type(held):
    assert refused(held, "iid", "data.double=true") == (
        "data set own: its training inputs are float64 of shape (10, 2); expected is float32 of "
        "shape (10, 2), as Spec(kind=classes, vocabulary=None) says"
    )


def test_an_own_data_set_with_numbers_that_are_none(held):
    assert refused(held, "iid", "data.missing=true") == (
        "data=own_parts:data: 2 of 10 training rows have inputs that are not finite (NaN or inf), "
        "the first is row 3; fill them in or leave them out"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["training rows have inputs", "training rows have targets",
                                  "test rows have inputs", "test rows have targets"])  # fmt: skip
def test_every_number_is_looked_at(bad, part):
    x, y = np.ones((2, 5, 2, 3), np.float32), np.ones((2, 5, 1), np.float32)
    array = x if "inputs" in part else y
    array[1 if "test" in part else 0, 4].flat[-1] = bad
    own = Dataset("own", Spec((2, 3), 1, "number"), Split(x[0], y[0]), Split(x[1], y[1]))
    with pytest.raises(ConfigError, match=f"1 of 5 {part} that are not finite.* is row 4;"):
        refuse_missing("own", own)


def test_large_numbers_and_tokens_are_finite():
    assert not not_finite(np.full((3, 2), 3e38, np.float32)).size
    assert not not_finite(np.ones((3, 4), np.float32)[:, ::2]).size
    text = Split(np.full((3, 2), 1), np.full((3, 2), 1))
    refuse_missing("text", Dataset("text", Spec((2,), 2, "tokens", (), 2), text, text))


@pytest.mark.parametrize("own", ["lists", "record"])
def test_an_own_partition_that_is_right(held, own):
    assert held(f"own_parts:{own}").partition.train.sizes.tolist() == [5, 5]


def test_a_row_that_has_two_clients(held):
    told = "row 3 is held twice, by clients 0 and 1; each row has one client"
    by_list = refused(held, "own_parts:lists", "partition.last=3")
    assert by_list == f"partition rule own/rule@1: training {told}"
    by_hand = refused(held, "own_parts:record", "partition.last=3")
    assert by_hand == f"partition=own_parts:record: test {told}"


@pytest.mark.parametrize("row", [10, -1])
@pytest.mark.parametrize("own", ["lists", "record"])
def test_a_row_that_is_out_of_range(held, own, row):
    said = refused(held, f"own_parts:{own}", f"partition.last={row}")
    assert f"row {row} is out of range; rows are 0 to 9 (client 1 was given it)" in said


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"names": ("a",)}, "gives 2 clients training rows, 2 a share of the test set and 1 names"),
        ({"test": Ragged.of([np.arange(2)])}, "2 clients training rows, 1 a share of the test set"),
        ({"train": Ragged(np.arange(3.0), np.array([0, 1, 3]))}, "training rows are float64"),
        ({"train": Ragged(np.arange(3), np.array([0, 1, 2]))}, "3 of them"),
        ({"train": Ragged(np.arange(3), np.array([0, 4, 3]))}, "as Ragged.of"),
    ],
)
def test_a_record_that_does_not_add_up(wrong, told):
    split = Split(np.zeros((3, 1), np.float32), np.zeros(3, np.int64))
    own = Dataset("own", Spec((1,), 2, "classes", ("a", "b")), split, split)
    rows = Ragged.of([np.arange(1), np.arange(1, 3)])
    right = {"rule": "own/rule@1", "train": rows, "test": rows, "names": Numbers(range(2))}
    refuse_overlap("own", Partition(**right), own)
    with pytest.raises(ConfigError, match=r"^partition=own") as error:
        refuse_overlap("own", Partition(**{**right, **wrong}), own)
    assert told in str(error.value)
