"""Some of a data set's classes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.data._classes import only_classes

NAMES = ("zero", "one", "two", "three", "four")
LABELS = np.array([0, 1, 2, 3, 4, 4, 2, 0, 1, 3, 3])
X = np.arange(2 * len(LABELS), dtype=np.float32).reshape(-1, 2)
OWNER = np.arange(len(LABELS)) % 3
WHOLE = Dataset(
    "some", Spec((2,), 5, "classes", NAMES), Split(X, LABELS, OWNER), Split(X[:5], LABELS[:5])
)


def test_null_keeps_all():
    assert only_classes(WHOLE, None) is WHOLE


def test_rows_labels_owners_and_names():
    found = only_classes(WHOLE, [3, 0])
    assert found.spec == Spec((2,), 2, "classes", ("three", "zero"))
    assert found.train.y.tolist() == [1, 0, 1, 0, 0]
    assert (found.train.x == X[[0, 3, 7, 9, 10]]).all()
    assert found.train.client.tolist() == [0, 0, 1, 0, 1]
    assert found.test.y.tolist() == [1, 0]
    assert found.test.client is None
    assert found.source.endswith("classes three, zero only")
    assert found.fingerprint != WHOLE.fingerprint


@given(st.lists(st.integers(0, 4), min_size=2, max_size=5, unique=True))
def test_every_row_of_the_kept_classes_in_its_order(classes):
    found = only_classes(WHOLE, classes)
    kept = np.isin(LABELS, classes)
    assert (found.train.x == X[kept]).all()
    assert (np.array(classes)[found.train.y] == LABELS[kept]).all()
    assert found.spec.classes == tuple(NAMES[number] for number in classes)


@pytest.mark.parametrize("classes", [[], [2], [1, 1], [0, 5], [-1, 0]])
def test_what_is_refused(classes):
    with pytest.raises(ConfigError, match=r"two or more different numbers .* from 0 to 4"):
        only_classes(WHOLE, classes)


def test_a_half_without_a_row_is_refused():
    lacking = replace(WHOLE, test=Split(X[:2], LABELS[:2]))
    with pytest.raises(ConfigError, match=r"leaves no test row of data=some"):
        only_classes(lacking, [2, 3])
