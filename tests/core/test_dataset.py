from dataclasses import replace

import numpy as np
import pytest

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError


def dataset():
    def split(rows):
        return Split(np.zeros((rows, 2), np.float32), np.zeros(rows, np.int64), np.arange(rows))

    return Dataset("toy", Spec((2,), 2, "classes", ("0", "1")), split(4), split(2))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("part", ["x", "y", "client"])
def test_one_value_changes_the_fingerprint(split, part):
    changed = dataset()
    getattr(getattr(changed, split), part)[1] += 1
    assert changed.fingerprint != dataset().fingerprint


def test_the_fingerprint_repeats_itself():
    assert dataset().fingerprint == dataset().fingerprint


def test_a_row_that_moves_to_the_test_set_changes_the_fingerprint():
    one = dataset()
    rows = {
        name: np.concatenate([getattr(one.train, name), getattr(one.test, name)])
        for name in ("x", "y", "client")
    }
    moved = [Split(**{n: v[a:b] for n, v in rows.items()}) for a, b in ((0, 3), (3, 6))]
    assert replace(one, train=moved[0], test=moved[1]).fingerprint != one.fingerprint


def test_owners_count():
    one = dataset()
    ownerless = replace(one, train=replace(one.train, client=None))
    assert ownerless.fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"x": np.zeros((3, 2))}, "inputs are float64 of shape (3, 2); expected is float32"),
        ({"x": np.zeros((3, 4), np.float32)}, "expected is float32 of shape (3, 2), as Spec"),
        ({"x": [[0.0, 1.0]] * 3}, "inputs are a list; expected is a NumPy array of float32"),
        ({"y": np.zeros(3, np.int32)}, "targets are int32 of shape (3,); expected is int64"),
        ({"y": np.zeros((3, 1), np.int64)}, "(3, 1); expected is int64 of shape (3,)"),
        ({"y": np.array([0, 2, 1])}, "targets go from 0 to 2; expected is 0 to 1"),
        ({"y": np.array([0, -1, 1])}, "targets go from -1 to 1; expected is 0 to 1"),
        ({"client": np.zeros(2, np.int64)}, "owners (Split.client) are int64 of shape (2,)"),
        ({"client": np.array([0, 1, -1])}, "owners (Split.client) go from -1 to 1; expected is 0"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_wrong_types_shapes_and_ranges_are_told_in_a_line(wrong, told, split):
    right = {"x": np.zeros((3, 2), np.float32), "y": np.zeros(3, np.int64)}
    with pytest.raises(ConfigError) as error:
        replace(dataset(), client_names=tuple("abcd"), **{split: Split(**{**right, **wrong})})
    assert str(error.value).startswith(f"data set toy: its {split}")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_owner_who_trains_has_a_name_where_owners_are_named():
    split = Split(np.zeros((3, 2), np.float32), np.zeros(3, np.int64), np.array([0, 1, 3]))
    named = replace(dataset(), client_names=tuple("abcd"))
    replace(named, train=split, test=replace(split, client=split.client + 1))
    with pytest.raises(ConfigError, match=r"training owners .* go from 0 to 3; expected is 0 to 2"):
        replace(named, train=split, client_names=tuple("abc"))


def text(kind="tokens", vocabulary=5, x=4, y_shape=(3, 2)):
    split = Split(np.full((3, 2), x, np.int64), np.zeros(y_shape, np.int64))
    return Dataset("text", Spec((2,), 5, kind, (), vocabulary), split, split)


def test_tokens_are_whole_numbers_below_the_vocabulary():
    assert (text().spec.output_shape, text().spec.target_shape) == ((2, 5), (2,))
    following = text("classes", y_shape=(3,)).spec
    assert (following.output_shape, following.target_shape) == ((5,), ())


@pytest.mark.parametrize(
    "wrong",
    [{"x": 5}, {"x": -1}, {"y_shape": (3,)}, {"kind": "classes"}, {"vocabulary": None},
     {"kind": "classes", "vocabulary": None, "y_shape": (3,)}],
)  # fmt: skip
def test_wrong_tokens_are_refused(wrong):
    with pytest.raises(ConfigError):
        text(**wrong)


def test_which_examples_have_a_class():
    kinds = {"classes": True, "binary": True, "number": False, "tokens": False}
    for kind, expected in kinds.items():
        assert Spec((2,), 1, kind, vocabulary=5).labelled is expected
