"""huggingface: parquet, CSV, JSON and Arrow files made on the spot, and what does not fit."""

from __future__ import annotations

import gzip
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data.huggingface import huggingface

pa = pytest.importorskip("pyarrow", reason="needs the extra hf")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra hf")

ROWS = 20
COLUMNS = {
    "age": [20 + row for row in range(ROWS)],
    "colour": [["red", "blue", "green"][row % 3] for row in range(ROWS)],
    "phone": [["b/x", "../a"][row % 2] for row in range(ROWS)],
    "label": [row // 2 % 2 for row in range(ROWS)],
}


def write(path: Path, columns: dict[str, Any] = COLUMNS) -> str:
    """The same rows in the form that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(table, path)
        return str(path)
    if kind == "arrow":
        stream = "stream" in path.name
        with pa.OSFile(str(path), "wb") as sink:
            writer = (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema)
            with writer:
                writer.write_table(table)
        return str(path)
    rows = table.to_pylist()
    if kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join(columns)] + [mark.join(map(str, row.values())) for row in rows]
        text = "\n".join(lines)
    elif kind == "jsonl":
        text = "\n".join(map(json.dumps, rows))
    else:
        text = json.dumps(rows, indent=1)
    raw = text.encode()
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
    return str(path)


def together(data: Dataset) -> np.ndarray:
    return np.concatenate([data.train.x, data.test.x])


KINDS = ["a.parquet", "a.csv", "a.csv.gz", "a.tsv", "a.json", "a.jsonl", "a.jsonl.gz", "a.arrow"]


@pytest.mark.parametrize("name", [*KINDS, "stream.arrow"])
def test_every_kind_of_file_holds_the_same(tmp_path: Path, name: str) -> None:
    data = huggingface(path=write(tmp_path / name), client="phone", normalize="none")
    assert (len(data.train), len(data.test)) == (16, 4)
    assert (data.spec.kind, data.spec.classes, data.spec.input_shape) == (
        "binary",
        ("0", "1"),
        (4,),
    )
    assert data.client_names == ("../a", "b/x")
    assert data.train.client is not None
    assert np.bincount(data.train.client).tolist() == [8, 8]
    for split in (data.train, data.test):
        for x, y, owner in zip(split.x, split.y, split.client, strict=True):
            row = int(x[0]) - 20
            # Categories in sorted order: blue, green, red.
            assert x[1:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]][row % 3]
            assert (y, owner) == (row // 2 % 2, 1 - row % 2)
    assert sorted(together(data)[:, 0]) == list(range(20, 40))


def test_numbers_are_scaled_by_the_training_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    raw = huggingface(path=path, features=["age"], normalize="none")
    scaled = huggingface(path=path, features=["age"])
    age = raw.train.x[:, 0].astype(np.float64)
    assert scaled.test.x[:, 0] == pytest.approx((raw.test.x[:, 0] - age.mean()) / age.std())
    pixel = huggingface(path=path, features=["age"], normalize="pixel")
    assert (pixel.train.x == raw.train.x / np.float32(255)).all()


FIRST = {name: values[:12] for name, values in COLUMNS.items()}
LAST = {name: values[12:] for name, values in COLUMNS.items()}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.csv", "test.csv"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train/part.jsonl", "test/part.jsonl"),
        ("rows.arrow", "my_test_rows.arrow"),
    ],
)
def test_splits_go_by_the_names_of_files(tmp_path: Path, train: str, test: str) -> None:
    write(tmp_path / train, FIRST)
    write(tmp_path / test, LAST)
    (tmp_path / "README.md").write_text("beside the data")
    data = huggingface(path=str(tmp_path), features=["age"], normalize="none")
    assert data.train.x[:, 0].tolist() == list(range(20, 32))
    assert data.test.x[:, 0].tolist() == list(range(32, 40))
    with pytest.raises(
        ConfigError, match=r"data.test_fraction=0.3 has no effect: the split 'test'"
    ):
        huggingface(path=str(tmp_path), test_fraction=0.3)


def test_named_splits(tmp_path: Path) -> None:
    for name in ("train-0", "train-1", "validation"):
        write(tmp_path / f"{name}.parquet", LAST if name == "validation" else FIRST)
    options: dict[str, Any] = {"path": str(tmp_path), "features": ["age"], "normalize": "none"}
    assert len(huggingface(**options).train) == 19  # 80 % of two files: no split is called test
    data = huggingface(**options, test="validation")
    assert (len(data.train), data.test.x[0, 0]) == (24, 32)
    assert len(huggingface(**options, train="validation").train) == 6
    with pytest.raises(ConfigError, match=r"data.test=test is no split .*: train, validation"):
        huggingface(**options, test="test")
    with pytest.raises(ConfigError, match=r"data.test=train is what is trained on"):
        huggingface(**options, test="train")
    write(tmp_path / "rest.parquet")
    with pytest.raises(ConfigError, match=r"rest.parquet names no split"):
        huggingface(**options)
    write(tmp_path / "rest.csv")
    with pytest.raises(ConfigError, match=r"holds files of .csv and .parquet; keep one kind"):
        huggingface(**options)


def test_lists_keep_their_shape(tmp_path: Path) -> None:
    signal = np.arange(ROWS * 6, dtype=np.float64).reshape(ROWS, 2, 3)
    columns = {"signal": signal.tolist(), "label": COLUMNS["label"]}
    path = write(tmp_path / "a.parquet", columns)
    data = huggingface(path=path, normalize="none")
    assert data.spec.input_shape == (2, 3)
    assert (together(data).reshape(ROWS, 6) % 6 == np.arange(6)).all()
    assert huggingface(path=path, shape=[6]).spec.input_shape == (6,)
    with pytest.raises(ConfigError, match=r"data.shape=\[7\] does not hold the 6 numbers"):
        huggingface(path=path, shape=[7])
    path = write(tmp_path / "b.parquet", {**columns, "age": COLUMNS["age"]})
    assert huggingface(path=path).spec.input_shape == (7,)
    pixels = pa.array(signal.astype(np.uint8).tolist(), pa.list_(pa.list_(pa.uint8(), 3), 2))
    path = write(tmp_path / "c.parquet", {**columns, "signal": pixels})
    assert together(huggingface(path=path)).max() == np.float32(119 / 255)


def test_targets(tmp_path: Path) -> None:
    columns = {
        "x": COLUMNS["age"],
        "price": [row * 1.5 for row in range(ROWS)],
        "kind": COLUMNS["colour"],
        "flag": [row % 2 == 0 for row in range(ROWS)],
        "two": [[row, -row] for row in range(ROWS)],
    }
    path = write(tmp_path / "a.parquet", columns)
    found = {
        name: huggingface(path=path, target=name, features=["x"], client=None).spec
        for name in ("price", "kind", "flag", "two")
    }
    assert {name: (spec.kind, spec.outputs, spec.classes) for name, spec in found.items()} == {
        "price": ("number", 1, ()),
        "kind": ("classes", 3, ("blue", "green", "red")),
        "flag": ("binary", 1, ("0", "1")),
        "two": ("number", 2, ()),
    }
    columns["several"] = [[row % 2, 1, 0] for row in range(ROWS)]
    path = write(tmp_path / "a.parquet", columns)
    with pytest.raises(ConfigError, match=r"column 'several' has 3 columns of only 0 and 1: multi"):
        huggingface(path=path, target="several", features=["x"], client=None)
    data = huggingface(path=path, target="several", features=["x"], client=None, task="number")
    assert data.spec.outputs == 3


def picture(level: int, *, size: int = 4, colour: bool = False) -> bytes:
    image = pytest.importorskip("PIL.Image")
    target = io.BytesIO()
    image.new("RGB" if colour else "L", (size, size), (level, 0, 0) if colour else level).save(
        target, "PNG"
    )
    return target.getvalue()


@pytest.mark.parametrize("form", ["struct", "bytes"])
def test_pictures(tmp_path: Path, form: str) -> None:
    encoded = [picture(10 * row) for row in range(ROWS)]
    column = [{"bytes": raw, "path": None} for raw in encoded] if form == "struct" else encoded
    columns = {"image": column, "writer": COLUMNS["phone"], "label": COLUMNS["label"]}
    path = write(tmp_path / "a.parquet", columns)
    data = huggingface(path=path, client="writer", grayscale=True)
    assert data.spec.input_shape == (1, 4, 4)
    assert sorted(together(data)[:, 0, 0, 0].tolist()) == [
        np.float32(10 * row) / np.float32(255) for row in range(ROWS)
    ]
    assert huggingface(path=path, client="writer", size=2).spec.input_shape == (3, 2, 2)
    data = huggingface(path=path, features=["image"], normalize="train")
    assert data.train.x.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert together(huggingface(path=path, client="writer", normalize="none")).max() == 190
    with pytest.raises(ConfigError, match=r"'image' holds pictures, .*'data.features=\[image\]'"):
        huggingface(path=path)
    column[7] = None if form == "struct" else b"no picture"
    path = write(tmp_path / "a.parquet", columns)
    with pytest.raises(ConfigError, match=r"column 'image', row 7"):
        huggingface(path=path, client="writer")


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {"target": "lable"}, r"data.target=lable is no column .*did you mean 'label'\?"),
        ({}, {"target": "zzz"}, r"data.target=zzz is no column .*columns: age, colour, phone, la"),
        ({}, {"client": "ag"}, r"data.client=ag is no column of the data; did you mean 'age'\?"),
        ({}, {"features": ["size"]}, r"data.features=size is no column"),
        ({}, {"features": []}, r"no column left as a feature"),
        ({}, {"features": ["label"]}, r"names a column twice, the target or the client"),
        ({}, {"features": ["age", "age"]}, r"names a column twice"),
        ({}, {"client": "label"}, r"data.client=label is the target too"),
        ({}, {"size": 3}, r"data.size=3 has no effect: no column holds pictures"),
        ({}, {"grayscale": True}, r"data.grayscale=true has no effect"),
        ({}, {"subset": "a"}, r"data.subset=a has no effect with data.path"),
        ({}, {"revision": "a"}, r"data.revision=a has no effect with data.path"),
        ({}, {"target": "colour", "task": "number"}, r"column 'colour' holds text such as 'red'"),
        ({"age": [None, *range(19)]}, {}, r"column 'age' has no value in row 0 \(1 such values\)"),
        ({"age": [np.inf, *range(19)]}, {}, r"column 'age' holds inf, not finite"),
        ({"age": [np.nan, *range(19)]}, {}, r"column 'age' holds nan, not finite"),
        ({"age": [[1]] * 19 + [[1, 2]]}, {}, r"lists of different lengths: 1 at first, 2 at num"),
        ({"age": [["a"]] * 20}, {}, r"column 'age' holds lists of string, not of numbers"),
        ({"age": [date(2021, 3, 2)] * 20}, {}, r"column 'age' holds date32.*leave it out"),
        ({"colour": [None] + ["a"] * 19}, {}, r"column 'colour' has no value in row 0"),
        ({"label": [None] + [1] * 19}, {}, r"column 'label' has no value in row 0"),
        ({"label": [1] * 20}, {}, r"column 'label' is 1.0 in every row"),
        ({"label": [date(2021, 3, 2)] * 20}, {}, r"column 'label' holds date32.*is no target"),
        ({"label": [{"a": 1}] * 20}, {}, r"data.target=label is no column .*mean 'label.a'\?"),
        (
            {"phone": [1.5] * 19 + [None]},
            {"client": "phone"},
            r"column 'phone' has no value in row",
        ),
        ({"phone": [[1]] * 20}, {"client": "phone"}, r"which names no client"),
    ],
)
def test_columns_that_do_not_fit(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.parquet", {**COLUMNS, **columns})
    with pytest.raises(ConfigError, match=message) as told:
        huggingface(path=path, **options)
    assert len(str(told.value).splitlines()) == 1


def test_too_many_categories(tmp_path: Path) -> None:
    texts = [f"sentence {row}" for row in range(1300)]
    path = write(tmp_path / "a.parquet", {"x": texts, "label": [0, 1] * 650})
    with pytest.raises(ConfigError, match=r"'x' holds 1,040 different texts, at most 1,000"):
        huggingface(path=path, features=["x"])


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path = Path(write(tmp_path / name))
    whole = path.read_bytes()
    for content in (b"", b"\x00\xff" * 50, whole[: len(whole) // 2] + b'"'):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as told:
            huggingface(path=str(path), target="label")
        assert len(str(told.value).splitlines()) == 1
        assert str(path) in str(told.value)


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.path=/absent does not exist"):
        huggingface(path="/absent")
    with pytest.raises(ConfigError, match=r"holds no file of .parquet, .csv"):
        huggingface(path=str(tmp_path))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"a.txt is none of .parquet, .csv"):
        huggingface(path=str(tmp_path / "a.txt"))
    write(tmp_path / "train.json")
    write(tmp_path / "test.json", {**COLUMNS, "more": [1] * 20})
    with pytest.raises(
        ConfigError, match=r"only some of the files or splits have the column 'more'"
    ):
        huggingface(path=str(tmp_path))
    write(tmp_path / "test.json", {**COLUMNS, "age": ["x"] * 20})
    with pytest.raises(ConfigError, match=r"train, test: files or splits differ: "):
        huggingface(path=str(tmp_path))
