"""table from CSV: values by hand, and every mistake a user can make."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data.table import table

REAL = Path(
    os.environ.get("FEDRUN_TEST_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)
CSV = "age,colour,owner,y\n" + "".join(
    f"{20 + row},{['red', 'blue', 'green'][row % 3]},{['b/x', '../a'][row % 2]},{row % 2}\n"
    for row in range(20)
)


def load(tmp_path: Path, text: str | bytes = CSV, **options: Any) -> Dataset:
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return table(path=str(path), **{"target": "y", **options})


def together(data: Dataset) -> np.ndarray:
    return np.concatenate([data.train.x, data.test.x])


def test_columns_become_features(tmp_path: Path) -> None:
    data = load(tmp_path, drop=["owner"], normalize="none")
    assert (len(data.train), len(data.test)) == (16, 4)
    assert (data.spec.kind, data.spec.classes, data.spec.input_shape) == (
        "binary",
        ("0", "1"),
        (4,),
    )
    for x in together(data):
        row = int(x[0]) - 20
        # Categories in sorted order: blue, green, red.
        assert x[1:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]][row % 3]


def test_numbers_are_scaled_by_the_training_rows(tmp_path: Path) -> None:
    raw, scaled = load(tmp_path, normalize="none"), load(tmp_path)
    age = raw.train.x[:, 0].astype(np.float64)
    expected = (raw.test.x[:, 0] - age.mean()) / age.std()
    assert scaled.test.x[:, 0] == pytest.approx(expected, abs=1e-6)


def test_clients_are_names_and_split_within(tmp_path: Path) -> None:
    data = load(tmp_path, client="owner")
    assert data.client_names == ("../a", "b/x")
    assert np.bincount(data.train.client).tolist() == [8, 8]
    assert np.bincount(data.test.client).tolist() == [2, 2]


def test_client_numbers_are_in_numeric_order(tmp_path: Path) -> None:
    text = "a,owner,y\n" + "".join(f"{row},{[10, 9][row % 2]},{row % 3}\n" for row in range(12))
    assert load(tmp_path, text, client="owner").client_names == ("9", "10")


@pytest.mark.parametrize(
    ("target", "task", "kind", "classes"),
    [
        (["1", "2"] * 5, "auto", "binary", ("1", "2")),
        (["1", "2"] * 5, "classes", "classes", ("1", "2")),
        (["10", "9", "2", "2", "9"] * 2, "auto", "classes", ("2", "9", "10")),
        (["no", "yes"] * 5, "auto", "binary", ("no", "yes")),
        (["0.5", "1"] * 5, "auto", "number", ()),
        (["0.5", "1"] * 5, "classes", "classes", ("0.5", "1")),
        (["1", "2"] * 5, "number", "number", ()),
        ([str(2 * n) for n in range(21)], "auto", "number", ()),
        ([str(n) for n in range(21)] * 2, "classes", "classes", tuple(map(str, range(21)))),
    ],
)
def test_tasks(
    tmp_path: Path, target: list[str], task: Any, kind: str, classes: tuple[str, ...]
) -> None:
    text = "a,y\n" + "".join(f"{row * row},{y}\n" for row, y in enumerate(target))
    data = load(tmp_path, text, task=task)
    assert (data.spec.kind, data.spec.classes) == (kind, classes)
    assert data.spec.outputs == (len(classes) if kind == "classes" else 1)


def test_number_target_keeps_its_units(tmp_path: Path) -> None:
    data = load(tmp_path, "a,y\n" + "".join(f"{n},{n * 1.5}\n" for n in range(10)))
    assert data.train.y.shape == (8, 1)
    assert sorted(np.concatenate([data.train.y, data.test.y]).ravel()) == [
        1.5 * n for n in range(10)
    ]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(CSV.encode(), mtime=0),
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace(",", ", ").replace("\n", "\n\n").encode(),
        CSV.replace("red", '"red"').encode(),
    ],
    ids=["gzip", "bom", "crlf", "blanks", "quotes"],
)
def test_ways_to_write_the_same(tmp_path: Path, content: bytes) -> None:
    # age stands first, where a byte order mark would change its name.
    options: dict[str, Any] = {"client": "owner", "numeric": ["age"]}
    written, plain = load(tmp_path, content, **options), load(tmp_path, **options)
    assert written.fingerprint == plain.fingerprint
    assert written.client_names == plain.client_names


@pytest.mark.parametrize(("character", "option"), [(";", ";"), ("\t", "tab"), ("\t", "\\t")])
def test_delimiters(tmp_path: Path, character: str, option: str) -> None:
    same = load(tmp_path, CSV.replace(",", character), delimiter=option)
    assert same.fingerprint == load(tmp_path).fingerprint


def test_missing_cells(tmp_path: Path) -> None:
    values = [10 + n * n for n in range(10)]
    lines = [f"{value},{'uv'[n % 2]},{n % 2}" for n, value in enumerate(values)]
    lines[3], lines[6] = ",v,1", f"{values[6]},?,0"
    text = "a,b,y\n" + "\n".join(lines)
    with pytest.raises(
        ConfigError, match=r"column 'a' has no value at .*data.csv, line 5 \(1 such"
    ):
        load(tmp_path, text)
    dropped = load(tmp_path, text, missing="drop", normalize="none")
    known = [value for n, value in enumerate(values) if n not in (3, 6)]
    assert sorted(together(dropped)[:, 0]) == known
    for seed in range(5):  # the cell falls among training rows and among test rows
        filled = load(tmp_path, text, missing="mean", normalize="none", split_seed=seed)
        without_category = together(filled)[together(filled)[:, 1:].sum(axis=1) == 0]
        assert without_category[:, 0].tolist() == [values[6]]
        (fill,) = (x for x in together(filled)[:, 0] if x not in [*known, values[6]])
        # Filling with the mean leaves the mean of the training rows where it was.
        assert fill == pytest.approx(filled.train.x[:, 0].mean(), rel=1e-5)


def test_official_test_file(tmp_path: Path) -> None:
    other = tmp_path / "test.csv"
    other.write_text("y,owner,age,colour\n1,new,50,violet\n0,b/x,51,red\n")
    data = load(tmp_path, test_path=str(other), client="owner", normalize="none")
    assert (len(data.train), len(data.test)) == (20, 2)
    # violet is no training category: all zeros.
    assert data.test.x.tolist() == [[50, 0, 0, 0], [51, 0, 0, 1]]
    assert data.client_names == ("../a", "b/x", "new")
    assert data.test.client is not None
    assert data.test.client.tolist() == [2, 1]
    with pytest.raises(ConfigError, match=r"data.split_seed=1 has no effect: data.test_path="):
        load(tmp_path, test_path=str(other), split_seed=1)
    with pytest.raises(ConfigError, match=r"data.test_fraction=0.3 has no effect"):
        load(tmp_path, test_path=str(other), test_fraction=0.3)
    other.write_text("y,owner,age,colour\n2,new,50,violet\n")
    with pytest.raises(ConfigError, match=r"class '2' is in the test set and in no training row"):
        load(tmp_path, test_path=str(other))
    other.write_text("y,owner,age\n1,new,50\n")
    with pytest.raises(ConfigError, match=r"must have the same columns; only one has colour"):
        load(tmp_path, test_path=str(other))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (CSV, {"target": None}, r"needs data.target=COLUMN; columns: age, colour, owner, y"),
        (CSV, {"target": "Age"}, r"data.target='Age' is no column .*did you mean 'age'\?"),
        (CSV, {"client": "ownr"}, r"data.client='ownr' is no column .*did you mean 'owner'\?"),
        (CSV, {"drop": ["id"]}, r"data.drop='id' is no column of .*\nColumns: age"),
        (CSV, {"numeric": ["age", "age"]}, r"data.numeric names the column 'age', .*twice"),
        (CSV, {"numeric": ["age"], "categorical": ["age"]}, r"'age', which is in data.numeric too"),
        (CSV, {"drop": ["y"]}, r"data.drop names the column 'y', which is in data.target too"),
        (CSV, {"numeric": ["colour"]}, r"column 'colour' holds 'red', no number \(.* line 2\)"),
        (CSV, {"numeric": ["age"], "categorical": ["owner"]}, r"'colour' is in neither"),
        (CSV, {"drop": ["age", "colour", "owner"]}, r"no column left as a feature"),
        (
            CSV,
            {"delimiter": ";"},
            r"has one column with data.delimiter=';'.* data.delimiter=comma$",
        ),
        (CSV.replace(",", ";"), {}, r"and semicolon stands .* give data.delimiter=semicolon$"),
        ("y\n1\n2\n", {"target": "a"}, r"no column of .*is data.delimiter right\?"),
        (CSV, {"delimiter": ",,"}, r"data.delimiter=',,' must be one character"),
        (CSV, {"task": "number", "target": "colour"}, r"column 'colour' holds 'red', no number"),
        (CSV, {"task": "binary", "target": "colour"}, r"3 different values; .*exactly 2"),
        (CSV + "1,2\n", {}, r"data.csv, line 22: 2 cells found, the header \(line 1\) has 4"),
        (CSV + '1,"a"b,c,1\n', {}, r"line 22: not CSV"),
        ("1,2\n3,4\n", {}, r"no header line.*data.header=false calls .* column_1 to column_2$"),
        ("1,u\n2,v\n", {}, r"is no column .*; without a header line, give data.header=false"),
        ("1,1,u\n2,2,v\n", {}, r"'1' 2 times; .*; without a header line, data.header=false"),
        ("1,2\n3\n", {"header": False}, r"line 2: 1 cells found, the first line has 2"),
        (CSV, {"channels": "last"}, r"data.channels=last is for npz files"),
        (CSV, {"normalize": "channel"}, r"data.normalize=channel is for npz files"),
        ("a,a,y\n1,2,3\n", {}, r"names the column 'a' 2 times"),
        ("a,y\n", {}, r"a header line and no rows"),
        ("", {}, r"is empty"),
        ("a,y\n1,5\n2,5\n", {}, r"target 'y' is 5.0 in every row"),
        ("a,y\n1,u\n2,u\n3,v\n", {}, r"class 'v' has a single row"),
        ("a,y\n1,0\ninf,1\n2,0\n3,1", {}, r"'a' holds 'inf', not finite in float32 \(.* line 3"),
        ("a,y\n1,0\n1e39,1\n2,0\n3,1", {}, r"'a' holds '1e39'"),
        ("a,y\n1,0\n,1\n", {}, r"'a' has no value at .*line 3"),
        ("a,y\n1,0\n2,\n", {"missing": "mean"}, r"'y' has no value .*data.missing=drop accepts"),
        ("a,y\n,0\n,1\n", {"missing": "drop"}, r"leaves no row"),
        ("a,y\n,0\n,1\n,0\n,1\n", {"missing": "mean"}, r"'a' has no value in the training rows"),
        (b"a,y\n\xff,1\n", {}, r"not UTF-8 text: byte 0xff at position 4"),
        (gzip.compress(CSV.encode(), mtime=0)[:-3], {}, r"damaged gzip"),
    ],
)
def test_mistakes(tmp_path: Path, text: str | bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text, **options)


def test_without_a_header_line(tmp_path: Path) -> None:
    body = CSV.partition("\n")[2]
    there = load(tmp_path)
    data = load(tmp_path, body, header=False, target="column_4")
    assert data.fingerprint == there.fingerprint
    other = tmp_path / "test.csv"
    other.write_text("50,violet,new,1\n")
    data = load(tmp_path, body, header=False, target="column_4", test_path=str(other))
    assert (len(data.train), len(data.test)) == (20, 1)


def test_a_delimiter_behind_the_last_cell_makes_no_column(tmp_path: Path) -> None:
    assert load(tmp_path, CSV.replace("\n", ",\n")).fingerprint == load(tmp_path).fingerprint


def test_too_many_categories(tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"v{n},{n % 2}\n" for n in range(1300))
    with pytest.raises(ConfigError, match=r"column 'a' has 1,040 categories, at most 1,000"):
        load(tmp_path, text, categorical=["a"])


def test_a_saved_index_is_called_by_its_position(tmp_path: Path) -> None:
    text = ",a,y\n" + "".join(f"{n},{n},{n % 2}\n" for n in range(10))
    assert load(tmp_path, text, drop=["column_1"]).spec.input_shape == (1,)


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data=table needs data.path=FILE"):
        table()
    with pytest.raises(ConfigError, match=r"data.path=.*absent.csv does not exist"):
        table(path=str(tmp_path / "absent.csv"))
    with pytest.raises(ConfigError, match=r"data.path=.* is a folder"):
        table(path=str(tmp_path))
    with pytest.raises(ConfigError, match=r"data.path=a.PARQUET is neither .*data=huggingface"):
        table(path="a.PARQUET")
    with pytest.raises(ConfigError, match=r"data.test_path=.*absent.csv does not exist"):
        load(tmp_path, test_path=str(tmp_path / "absent.csv"))


@pytest.mark.skipif(not (REAL / "credit_default").is_dir(), reason="the real file is not here")
def test_credit_default_and_its_time() -> None:
    path = REAL / "credit_default" / "UCI_Credit_Card.csv.gz"
    start = time.perf_counter()
    data = table(path=str(path), target="default.payment.next.month", drop=["ID"], normalize="none")
    assert time.perf_counter() - start < 10  # about 1 s; the margin is for a loaded machine
    assert (len(data.train), len(data.test)) == (24_000, 6_000)
    assert np.bincount(np.concatenate([data.train.y, data.test.y])).tolist() == [23_364, 6_636]
    assert together(data)[:, 0].mean(dtype=np.float64) == pytest.approx(167_484.3227, abs=1e-3)
    assert data.spec.input_shape == (23,)
