"""What a data set says of its preparation makes its rows out of raw numbers, to the bit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.preparation import Feature, Preparation
from fedrun.data._npz_table import of_arrays
from fedrun.data._pixel import scale_pixels
from fedrun.data._scale import fitted
from fedrun.data.breast_cancer import breast_cancer
from fedrun.data.diabetes import diabetes
from fedrun.data.digits import digits
from fedrun.data.heart_disease import heart_disease
from fedrun.data.huggingface import huggingface
from fedrun.data.libsvm import libsvm
from fedrun.data.markov_text import markov_text
from fedrun.data.table import table
from fedrun.data.uci_har import uci_har
from fedrun.data.wine import wine

REAL = Path(
    os.environ.get("FEDRUN_TEST_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)


def made(features: Sequence[Feature], columns: dict[str, list]) -> np.ndarray:
    """float32 [N, features] of raw columns, by nothing but the facts."""
    done = []
    for feature in features:
        raw = columns[feature.name]
        if feature.category is not None:
            done.append([value == feature.category for value in raw])
            continue
        filled = np.array([feature.missing if value is None else value for value in raw])
        if feature.divide_by is None:
            done.append(np.zeros(len(raw)))
        else:
            done.append((filled - feature.subtract) / feature.divide_by)
    return np.array(done, np.float32).T


def rows(data: Dataset) -> set[bytes]:
    return {row.tobytes() for split in (data.train, data.test) for row in split.x}


def expected(features: Sequence[Feature], columns: dict[str, list]) -> set[bytes]:
    return {row.tobytes() for row in made(features, columns)}


@pytest.mark.parametrize(
    ("data", "raw"), [(wine, load_wine), (breast_cancer, load_breast_cancer)]
)  # fmt: skip
def test_bundled_tables(data, raw) -> None:
    set_, source = data(), raw()
    columns = dict(zip(map(str, source.feature_names), source.data.T, strict=True))
    assert [feature.name for feature in set_.prepared.features] == list(columns)
    assert rows(set_) == expected(set_.prepared.features, columns)


def test_a_target_goes_back_to_its_own_units() -> None:
    data, source = diabetes(), load_diabetes(scaled=False)
    columns = dict(zip(map(str, source.feature_names), source.data.T, strict=True))
    assert rows(data) == expected(data.prepared.features, columns)
    unit = data.prepared.target
    back = np.concatenate([data.train.y, data.test.y])[:, 0] * unit.divide_by + unit.subtract
    assert np.sort(back) == pytest.approx(np.sort(source.target), abs=1e-3)
    kept = diabetes(standardize_target=False).prepared.target
    assert (kept.subtract, kept.divide_by) == (0, 1)


def test_pixels() -> None:
    data = digits()
    (grey,) = data.prepared.features
    images = load_digits().images / grey.divide_by
    assert rows(data) == {image.astype(np.float32).tobytes() for image in images}
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (6, 3, 4, 4), np.uint8)
    pixels[:, 2] = 7
    for normalize in ("none", "train"):
        train, _, told = scale_pixels(pixels[:5], pixels[5:], normalize)
        assert [feature.name for feature in told.features] == ["red", "green", "blue"]
        for channel, feature in enumerate(told.features):
            raw = pixels[:5, channel].astype(float)
            scale = feature.divide_by or np.inf
            assert train[:, channel] == pytest.approx((raw - feature.subtract) / scale, abs=1e-6)
    assert told.features[2].divide_by is None


def test_a_table_of_numbers_categories_and_gaps(tmp_path: Path) -> None:
    ages = [20 + row for row in range(20)]
    colours = [["red", "blue", "green"][row % 3] for row in range(20)]
    lines = [f"{'' if row == 4 else age},{colour},1,{row % 2}"
             for row, (age, colour) in enumerate(zip(ages, colours, strict=True))]  # fmt: skip
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["age,colour,same,y", *lines]))
    columns = {"age": [None if row == 4 else age for row, age in enumerate(ages)],
               "colour": colours, "same": [1] * 20}  # fmt: skip
    for normalize in ("train", "none"):
        data = table(path=str(file), target="y", missing="mean", normalize=normalize)
        features = data.prepared.features
        assert [(one.name, one.category) for one in features] == [
            ("age", None), ("colour", "blue"), ("colour", "green"), ("colour", "red"),
            ("same", None),
        ]  # fmt: skip
        assert rows(data) == expected(features, columns)
        assert features[-1].divide_by == (None if normalize == "train" else 1)
    assert features[0].missing == pytest.approx(np.mean(columns["age"][:4] + ages[5:]), abs=2)


def test_arrays_and_sparse_rows(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(3, 2, (20, 2))
    np.savez(tmp_path / "t.npz", x=x, y=np.arange(20) % 2)
    data = table(path=str(tmp_path / "t.npz"))
    assert rows(data) == expected(data.prepared.features, {"x0": x[:, 0], "x1": x[:, 1]})
    lines = [f"{row % 2} 1:{row} 2:{row * row}" for row in range(20)]
    (tmp_path / "t.svm").write_text("\n".join(lines) + "\n")
    data = libsvm(path=str(tmp_path / "t.svm"), normalize="train")
    raw = {"1": [float(n) for n in range(20)], "2": [float(n * n) for n in range(20)]}
    assert rows(data) == expected(data.prepared.features, raw)


@pytest.mark.parametrize(
    ("shape", "normalize", "words"),
    [(None, "train", "side by side; the constants are not kept"),
     ([4], "train", "side by side; the constants are not kept"),
     ([1, 4], "train", "side by side; the constants are not kept, in the shape [1, 4]"),
     ([1, 4], "none", "side by side, in the shape [1, 4]")],
)  # fmt: skip
def test_constants_that_are_not_kept(tmp_path: Path, shape, normalize, words) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra hf")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra hf")
    grids = [[[row, 1], [2, row * row]] for row in range(20)]
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": grids, "label": [0, 1] * 10}), file)
    told = huggingface(path=str(file), normalize=normalize, shape=shape).prepared
    how = f"columns x, normalize={normalize}, {words}"
    assert told == Preparation(how, lost=normalize == "train")


def test_a_list_keeps_its_constants_unless_it_is_given_another_shape(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra hf")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra hf")
    file = tmp_path / "t.parquet"
    pairs = [[row, row * row] for row in range(20)]
    parquet.write_table(pa.table({"x": pairs, "label": [0, 1] * 10}), file)
    told = huggingface(path=str(file), normalize="train").prepared
    assert [feature.name for feature in told.features] == ["x[0]", "x[1]"]
    told = huggingface(path=str(file), normalize="train", shape=[1, 2]).prepared
    assert told.features == ()
    assert told.how.endswith("in the shape [1, 2]; the constants are not kept")


def test_whether_constants_are_the_training_rows_own() -> None:
    assert wine().prepared.is_fitted
    assert not digits().prepared.is_fitted
    assert Preparation("x", (Feature("city", category="Bern"),)).is_fitted
    assert Preparation("x", (Feature("same", divide_by=None),)).is_fitted
    assert Preparation("x", target=Feature("y", 0.5)).is_fitted
    assert Preparation("x", by_client={"a": (Feature("age", 3.5, 2.5),)}).is_fitted


def test_what_has_no_constants_is_told_in_words() -> None:
    assert markov_text(clients=2).prepared == Preparation("as generated")


def test_as_many_features_as_numbers() -> None:
    split = Split(np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
    prepared = Preparation("x", (Feature("one"),))
    with pytest.raises(AssertionError):
        Dataset("x", Spec((2,), 2, "classes"), split, split, prepared=prepared)


@pytest.mark.skipif(not (REAL / "heart_disease").is_dir(), reason="the real files are not here")
def test_every_hospital_has_its_own_constants() -> None:
    root = str(REAL / "heart_disease")
    told = heart_disease(root=root).prepared
    assert list(told.by_client) == ["cleveland", "hungarian", "switzerland", "va"]
    assert all(len(features) == 13 for features in told.by_client.values())
    chol = told.by_client["switzerland"][3]
    assert (chol.name, chol.divide_by) == ("chol", None)  # one value alone
    assert len(heart_disease(root=root, normalize="pooled").prepared.features) == 13


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "uci_har").is_dir(), reason="the real files are not here")
def test_signals_by_channel() -> None:
    scored = uci_har(root=str(REAL / "uci_har"))
    raw = uci_har(root=str(REAL / "uci_har"), normalize="none")
    for channel, feature in enumerate(scored.prepared.features):
        own = (raw.test.x[:, channel] - feature.subtract) / feature.divide_by
        assert scored.test.x[:, channel] == pytest.approx(own, abs=1e-5)


def test_constants_that_are_not_kept_are_known_to_be_the_training_rows() -> None:
    rows = np.random.default_rng(0).random((5, 3, 3))
    assert of_arrays(fitted(rows)).is_fitted
    assert of_arrays(fitted(rows[:, 0])).is_fitted
    assert not Preparation("as they are").is_fitted
