"""table from NPZ: arrays by hand, and every way they can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data.table import table

X = np.arange(40, dtype=np.float32).reshape(10, 2, 2)
Y = np.arange(10) % 2


def load(tmp_path: Path, arrays: dict[str, Any], **options: Any) -> Dataset:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return table(path=str(path), **options)


def test_arrays_keep_their_shape(tmp_path: Path) -> None:
    data = load(tmp_path, {"x": X, "y": Y}, normalize="none")
    assert (data.spec.input_shape, data.spec.kind) == ((2, 2), "binary")
    both = np.concatenate([data.train.x, data.test.x])
    assert sorted(both[:, 0, 0]) == sorted(X[:, 0, 0])
    assert data.train.client is None


def test_own_test_set_and_owners(tmp_path: Path) -> None:
    owner = np.array(["b", "a"] * 5)
    arrays = {"x": X, "y": Y, "client": owner, "x_test": X[:3], "y_test": Y[:3]}
    data = load(tmp_path, arrays)
    assert (len(data.train), len(data.test)) == (10, 3)
    assert data.test.client is None
    data = load(tmp_path, arrays | {"client_test": np.array(["c", "a", "b"])})
    assert data.client_names == ("a", "b", "c")
    assert data.train.client is not None
    assert data.test.client is not None
    assert data.train.client.tolist() == [1, 0] * 5
    assert data.test.client.tolist() == [2, 0, 1]
    # Scaled by the training rows: mean of X[:, 0, 0] is 18.
    assert data.train.x.mean(axis=0) == pytest.approx(0, abs=1e-6)


def test_numbers_and_text(tmp_path: Path) -> None:
    data = load(tmp_path, {"x": X, "y": np.c_[Y, Y * 1.5]})
    assert (data.spec.kind, data.spec.outputs, data.train.y.shape) == ("number", 2, (8, 2))
    data = load(tmp_path, {"x": X, "y": np.array(["u", "v"] * 5)}, task="classes")
    assert (data.spec.kind, data.spec.classes) == ("classes", ("u", "v"))
    data = load(tmp_path, {"x": X, "y": Y.astype(bool)})
    assert (data.spec.kind, data.spec.classes) == ("binary", ("0", "1"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"has no array 'y'; arrays: x"),
        ({"x": X, "y": Y, "x_test": X}, r"has no array 'y_test'"),
        ({"x": X, "y": Y, "clients": Y}, r"unknown array 'clients'; did you mean 'client'\?"),
        ({"x": X, "y": Y, "client_test": Y}, r"client_test needs client and x_test"),
        ({"x": X, "y": Y[:9]}, r"x has 10 rows, y has 9"),
        ({"x": X, "y": Y, "client": Y[:9]}, r"x has 10 rows, client has 9"),
        ({"x": X, "y": Y, "client": Y * 1.0}, r"client must be whole numbers or text"),
        ({"x": X[:, 0, 0], "y": Y}, r"x must be numbers of shape \[rows, ...\]"),
        ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, r"shape \(2, 2\), one of x_test"),
        ({"x": X.astype(str), "y": Y}, r"x must be numbers"),
        ({"x": np.where(X == 9, np.nan, X), "y": Y}, r"x is not finite in float32 at row 2"),
        ({"x": X, "y": np.where(Y == 1, np.inf, 0)}, r"y is not finite at row 1"),
        ({"x": X, "y": Y * 0}, r"y is 0 in every row"),
        ({"x": X, "y": np.array([{}] * 10)}, r"array 'y' holds Python objects"),
        ({"x": X, "y": np.c_[Y, 1 - Y]}, r"a single 1 in each row of 2 numbers: .*argmax"),
        ({"x": X, "y": np.c_[Y, Y]}, r"2 columns of only 0 and 1: multi-label .* not offered"),
        ({"x": X, "y": np.c_[Y, Y, 2 * Y]}, None),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, arrays: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert load(tmp_path, arrays).spec.outputs == 3
        return
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, arrays)


@pytest.mark.parametrize("y", [np.c_[Y, Y, Y], np.c_[Y, 1 - Y], np.c_[Y, Y] > 0])
def test_columns_of_0_and_1_are_numbers_where_that_is_said(tmp_path: Path, y: np.ndarray) -> None:
    data = load(tmp_path, {"x": X, "y": y}, task="number")
    assert (data.spec.kind, data.spec.outputs) == ("number", y.shape[1])
    with pytest.raises(ConfigError, match=r"data.task=number (for|trains) squared errors"):
        load(tmp_path, {"x": X, "y": y})


def test_labels_in_a_column_are_labels(tmp_path: Path) -> None:
    data = load(tmp_path, {"x": X, "y": Y[:, None]})
    assert (data.spec.kind, data.train.y.ndim) == ("binary", 1)
    data = load(tmp_path, {"x": X, "y": Y[:, None] * 1.5})
    assert (data.spec.kind, data.train.y.shape) == ("number", (8, 1))


def test_channels_behind_the_steps_are_moved_first(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    windows, fresh = draw.normal(3, 2, (10, 5, 2)), draw.normal(9, 4, (3, 5, 2))
    windows[..., 1] *= 100
    last = {"x": windows, "y": Y, "x_test": fresh, "y_test": Y[:3]}
    data = load(tmp_path, last, channels="last", normalize="channel")
    assert data.spec.input_shape == (2, 5)
    # By hand: every channel by the mean and sd of its 50 numbers in the training rows.
    mean, sd = windows.reshape(-1, 2).mean(axis=0), windows.reshape(-1, 2).std(axis=0)
    assert data.test.x == pytest.approx(((fresh - mean) / sd).transpose(0, 2, 1), rel=1e-5)
    assert data.prepared is not None
    features = data.prepared.features
    assert [feature.name for feature in features] == ["channel0", "channel1"]
    assert [feature.subtract for feature in features] == pytest.approx(mean.tolist())
    first = {name: x.transpose(0, 2, 1) if name[0] == "x" else x for name, x in last.items()}
    assert load(tmp_path, first, normalize="channel").fingerprint == data.fingerprint
    for options in ({"channels": "last"}, {"normalize": "channel"}):
        with pytest.raises(ConfigError, match=r"needs x of shape \[rows, channels, ...\], found"):
            load(tmp_path, {"x": X[:, 0], "y": Y}, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "y"},
        {"client": "c"},
        {"numeric": ["a"]},
        {"categorical": []},
        {"drop": ["a"]},
        {"test_path": "t.csv"},
        {"delimiter": ";"},
        {"header": False},
        {"decimal": "comma"},
        {"missing": "mean"},
    ],
)
def test_options_of_csv_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    (key,) = options
    with pytest.raises(ConfigError, match=rf"data.{key}=.* has no effect on an npz file"):
        load(tmp_path, {"x": X, "y": Y}, **options)


def test_split_options_are_refused_with_an_own_test_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.test_fraction=0.5 has no effect"):
        load(tmp_path, {"x": X, "y": Y, "x_test": X, "y_test": Y}, test_fraction=0.5)


def test_damaged_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    whole = (tmp_path / "data.npz").read_bytes()
    path = tmp_path / "bad.npz"
    flipped = whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]
    for content in (b"", b"text", whole[:-30], whole[:100], flipped, b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad.npz"):
            table(path=str(path))
    with (tmp_path / "bad.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(ConfigError, match=r"holds one array and is no npz file"):
        table(path=str(path))
