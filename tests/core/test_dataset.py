from dataclasses import replace

import numpy as np
import pytest

from fedrun.core.dataset import Dataset, Spec, Split


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
    ("x", "y"),
    [
        (np.zeros((3, 2)), np.zeros(3, np.int64)),
        (np.zeros((3, 4), np.float32), np.zeros(3, np.int64)),
        (np.zeros((3, 2), np.float32), np.zeros(3, np.int32)),
        (np.zeros((3, 2), np.float32), np.zeros((3, 1), np.int64)),
    ],
)
def test_wrong_types_and_shapes_are_our_own_mistake(x, y):
    with pytest.raises(AssertionError):
        replace(dataset(), train=Split(x, y))
