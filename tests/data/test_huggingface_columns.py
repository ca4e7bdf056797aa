"""huggingface: columns in columns, and columns that seem to be no features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedrun.core.option import ConfigError
from fedrun.data.huggingface import huggingface

pa = pytest.importorskip("pyarrow", reason="needs the extra hf")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra hf")

LABEL = [0, 1] * 15


def write(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table({**columns, "label": LABEL}), path)
    return str(path)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (list(range(5, 35)), r"'a' seems to number the rows: .*'data.features=\[b\]'"),
        ([f"text {row}" for row in range(30)], r"'a' holds 30 different texts in 30 rows"),
        (["2021-03-02", "2021-03-09"] * 15, r"'a' holds dates, such as '2021-03-02'"),
        (["1,5", "2,5"] * 15, r"'a' holds numbers in another notation"),
    ],
)
def test_columns_that_are_no_features_are_asked_about(
    tmp_path: Path, cells: list[Any], message: str
) -> None:
    path = write(tmp_path / "a.parquet", a=cells, b=[row % 7 for row in range(30)])
    with pytest.raises(ConfigError, match=message):
        huggingface(path=path)
    assert huggingface(path=path, features=["b"]).spec.input_shape == (1,)
    assert huggingface(path=path, features=["a"]).spec.input_shape[0] >= 1  # as the user says


def test_only_the_training_rows_are_asked_about(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["u", "v"] * 15, "label": LABEL}), tmp_path / "train.parquet")
    fresh = [f"text {row}" for row in range(30)]
    pq.write_table(pa.table({"a": fresh, "label": LABEL}), tmp_path / "test.parquet")
    assert (huggingface(path=str(tmp_path)).test.x == 0).all()


def test_what_stands_inside_a_column_is_a_column(tmp_path: Path) -> None:
    ages = [20.0 + row % 7 for row in range(30)]
    people = [{"age": age, "home": {"town": "uv"[row % 2]}} for row, age in enumerate(ages)]
    path = write(tmp_path / "a.parquet", person=people, org=["x", "y", "z"] * 10)
    data = huggingface(path=path, client="org", normalize="none")
    assert data.prepared is not None
    assert [(one.name, one.category) for one in data.prepared.features] == [
        ("person.age", None),
        ("person.home.town", "u"),
        ("person.home.town", "v"),
    ]
    assert sorted([*data.train.x[:, 0], *data.test.x[:, 0]]) == sorted(ages)
    by_town = huggingface(path=path, features=["person.age"], client="person.home.town")
    assert by_town.client_names == ("u", "v")
    assert by_town.train.client is not None
    # Towns alternate with the labels.
    assert (by_town.train.client == by_town.train.y).all()
    pictures = write(tmp_path / "b.parquet", image=[{"bytes": b"no", "path": None}] * 30)
    pytest.importorskip("PIL", reason="needs the extra image")
    with pytest.raises(ConfigError, match=r"column 'image', row 0 is no readable picture"):
        huggingface(path=pictures)
