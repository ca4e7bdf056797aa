"""leaf: JSON folders made by hand, and every way they can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data.leaf import leaf

Users = dict[str, tuple[Any, Any]]
TRAIN: Users = {"b": ([[1, 2], [3, 4]], [0, 3]), "a": ([[5, 6.5]], [1]), "empty": ([], [])}
TEST: Users = {"a": ([[7, 8]], [3]), "new": ([[9, 10]], [1])}


def document(users: Users) -> dict[str, Any]:
    return {
        "users": list(users),
        "num_samples": [len(y) for _, y in users.values()],
        "user_data": {user: {"x": x, "y": y} for user, (x, y) in users.items()},
    }


def write(folder: Path, content: Any, name: str = "all_data_0.json") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    raw = (content if isinstance(content, str) else json.dumps(content)).encode()
    (folder / name).write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)


@pytest.mark.parametrize("inner", ["", "data"])
def test_users_are_clients(tmp_path: Path, inner: str) -> None:
    write(tmp_path / inner / "train", document(TRAIN))
    write(tmp_path / inner / "test", document(TEST))
    data = leaf(root=str(tmp_path))
    assert data.train.x.tolist() == [[1, 2], [3, 4], [5, 6.5]]
    assert data.spec.classes == ("0", "1", "3")
    assert (data.train.y.tolist(), data.test.y.tolist()) == ([0, 2, 1], [2, 1])
    assert data.client_names == ("a", "b", "new")
    assert data.train.client is not None
    assert data.test.client is not None
    assert (data.train.client.tolist(), data.test.client.tolist()) == ([1, 1, 0], [0, 2])


def test_files_are_read_in_order_and_labels_kept_where_counted(tmp_path: Path) -> None:
    write(tmp_path / "train", document({"10": ([1.5], [2])}), "b.json.gz")
    write(tmp_path / "train", document({"9": ([2.5, 3.5], [0, 4])}), "a.json")
    write(tmp_path / "test", document({"9": ([0.5], [3])}))
    data = leaf(root=str(tmp_path), classes=5)
    assert data.train.x.tolist() == [[2.5], [3.5], [1.5]]
    assert data.train.y.tolist() == [0, 4, 2]
    assert data.test.y.tolist() == [3]  # a class that no training row has
    assert data.client_names == ("9", "10")
    assert data.spec.outputs == 5
    with pytest.raises(ConfigError, match=r"y holds 4, user '9'; labels from 0 to 3 expected"):
        leaf(root=str(tmp_path), classes=4)
    with pytest.raises(ConfigError, match=r"class '3' is in the test set and in no training row"):
        leaf(root=str(tmp_path))


def test_shapes_targets_and_tasks(tmp_path: Path) -> None:
    rows = np.arange(12).reshape(2, 2, 3).tolist()
    write(tmp_path / "train", document({"a": (rows, [0.5, 1.5])}))
    write(tmp_path / "test", document({"a": (rows, [2.5, 3.5])}))
    data = leaf(root=str(tmp_path), task="number")
    assert (data.spec.input_shape, data.spec.kind, data.test.y.tolist()) == (
        (2, 3),
        "number",
        [[2.5], [3.5]],
    )
    data = leaf(root=str(tmp_path), task="number", shape=[1, 6])
    assert data.train.x[1].tolist() == [[6, 7, 8, 9, 10, 11]]
    with pytest.raises(ConfigError, match=r"data.shape=\[7\] does not hold the 6 numbers"):
        leaf(root=str(tmp_path), task="number", shape=[7])
    with pytest.raises(ConfigError, match=r"data.classes=3 has no effect with data.task=number"):
        leaf(root=str(tmp_path), task="number", classes=3)
    write(tmp_path / "train", document({"a": (rows, ["cat", "dog"])}))
    write(tmp_path / "test", document({"a": (rows, ["dog", "dog"])}))
    assert leaf(root=str(tmp_path)).spec.classes == ("cat", "dog")


@pytest.mark.parametrize("inner", ["", "all_data", "data/all_data", "train"])
def test_one_half_is_split_within_each_user(tmp_path: Path, inner: str) -> None:
    users = {
        user: ([[k, at] for k in range(10)], [7 * (k % 2) for k in range(10)])
        for at, user in enumerate("ab")
    }
    write(tmp_path / inner, document(users))
    for classes, label in ((None, 1), (8, 7)):
        data = leaf(root=str(tmp_path), test_fraction=0.4, classes=classes)
        assert np.bincount(data.train.client).tolist() == [6, 6]
        assert np.bincount(data.test.client).tolist() == [4, 4]
        # Within a user by class: two rows of each.
        assert np.bincount(2 * data.test.client + data.test.y // label).tolist() == [2, 2, 2, 2]
        assert (data.train.y == label * (data.train.x[:, 0] % 2)).all()
        assert (data.train.client == data.train.x[:, 1]).all()


def test_split_options_need_something_to_split(tmp_path: Path) -> None:
    write(tmp_path / "train", document(TRAIN))
    write(tmp_path / "test", document(TEST))
    with pytest.raises(ConfigError, match=r"data.test_fraction=0.5 has no effect: the folder's"):
        leaf(root=str(tmp_path), test_fraction=0.5)


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data=leaf needs data.root=FOLDER with LEAF's JSON"):
        leaf()
    with pytest.raises(ConfigError, match=r"data.root=/absent is no folder; it must hold train/"):
        leaf(root="/absent")
    with pytest.raises(ConfigError, match=r"holds no JSON files; needed: train/"):
        leaf(root=str(tmp_path))
    write(tmp_path / "test", document(TEST))
    with pytest.raises(ConfigError, match=r"has test/\*.json and no train/\*.json"):
        leaf(root=str(tmp_path))


GOOD = document({"a": ([[1, 2], [3, 4]], [0, 1])})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is no readable JSON: "),
        (json.dumps(GOOD)[:-3], r"is no readable JSON: "),
        ("[" * 200_000, r"is no readable JSON: "),
        ([1], r"has no 'user_data'"),
        ({**GOOD, "user_data": []}, r"has no 'user_data'"),
        ({**GOOD, "users": ["a", "b"]}, r"lists of the same length"),
        ({**GOOD, "users": ["b"]}, r"do not name the same users"),
        ({**GOOD, "users": None}, r"lists of the same length"),
        ({**GOOD, "num_samples": [3]}, r"user 'a': x has 2 rows, y has 2, num_samples says 3"),
        ({"user_data": {"a": {"x": [[1]]}}}, r"user 'a' has no x and y"),
        (document({"a": ([[1]], [0, 1])}), r"user 'a': x has 1 rows, y has 2"),
        (document({"a": ([[1], [1, 2]], [0, 1])}), r"'a': the rows of x differ in shape"),
        (document({"a": (["to be", "or no"], ["o", " "])}), r"'a': x is text; data=shakespeare re"),
        (document({"a": (["to be", "or"], ["o", "n"])}), r"a row of x is a text such as 'to be';"),
        (document({"a": (["to be", "or no"], [0, 1])}), r"such as 'to be'; data=leaf and .* numb"),
        (document({"a": ([["1", "lol"]], [0])}), r"'a': a row of x is 2 texts such as '1'; data="),
        (document({"a": (["1.JPG"], [0])}), r"x is the name of a picture, '1.JPG'; data=leaf and"),
        (document({"a": ([[1], [None]], [0, 1])}), r"'a': x must be a list of numbers"),
        (document({"a": ([[1], [1e39]], [0, 1])}), r"'a': a number is not finite in float32"),
        ('{"user_data": {"a": {"x": [[NaN]], "y": [1]}}}', r"'a': a number is not finite"),
        ({"user_data": {"a": {"x": 3, "y": [1]}}}, r"'a': x must be a list of numbers"),
        (document({"a": ([[1]], [0]), "b": ([[1, 2]], [1])}), r"user 'b' has x and y of shape"),
        (document({"a": ([[1]], [0]), "b": ([[1]], ["x"])}), r"some targets are text"),
        (document({"a": ([], [])}), r"hold no row"),
        (document({"a": ([[1], [2]], [1, 1])}), r"y is 1 in every row; there is nothing to learn"),
    ],
)
def test_damaged_files(tmp_path: Path, content: Any, message: str) -> None:
    write(tmp_path / "train", content)
    write(tmp_path / "test", {**GOOD, "users": ["a"]} if "hold no" in message else content)
    with pytest.raises(ConfigError, match=message) as told:
        leaf(root=str(tmp_path))
    assert len(str(told.value).splitlines()) <= 2


def test_halves_that_differ(tmp_path: Path) -> None:
    write(tmp_path / "train", document({"a": ([[1], [2]], [0, 1])}))
    write(tmp_path / "test", document({"a": ([[1, 2]], [0])}))
    with pytest.raises(ConfigError, match=r"train and test differ: x of shape \(1,\) and \(2,\)"):
        leaf(root=str(tmp_path))
    write(tmp_path / "test", document({"a": ([[1]], ["x"])}))
    with pytest.raises(ConfigError, match=r"targets of one half are text"):
        leaf(root=str(tmp_path))
    write(tmp_path / "train", document({"a": ([[1]], [0])}), "other_sampling.json")
    with pytest.raises(
        ConfigError, match=r"user 'a' stands in all_data_0.json too; keep the files"
    ):
        leaf(root=str(tmp_path))
