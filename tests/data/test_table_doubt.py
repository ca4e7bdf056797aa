"""table from CSV: columns that may not be what they seem are asked about, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data.table import table


def load(tmp_path: Path, text: str, **options: Any) -> Dataset:
    path = tmp_path / "data.csv"
    path.write_text(text)
    return table(path=str(path), target="y", **options)


def rows_of(cells: list[str], target: list[str] | None = None) -> str:
    """A file of the column `a` with these cells, quoted, another column and a target."""
    ends = target or [str(n % 2) for n in range(len(cells))]
    lines = [f'"{cell}",{n % 7},"{y}"' for n, (cell, y) in enumerate(zip(cells, ends, strict=True))]
    return "a,b,y\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([f"P{n}" for n in range(24)], r"'a' holds 24 different texts in 24 rows, .*drop=\[a\]"),
        ([f"2021-03-{n % 9 + 1:02d}" for n in range(24)], r"dates, such as '2021-03-01' .*line 2"),
        ([f"{n},5" for n in range(9)] * 3, r"another notation, such as '0,5' .*decimal=comma"),
        ([f"{n}%" for n in range(9)] * 3, r"another notation, such as '0%' \(.*line 2\); say"),
        ([f"{n}.5" for n in range(9)] + ["-"], r"numbers and text, such as '-' \(.*, line 11\)"),
        ([str(n) for n in range(5, 26)], r"'a' \(5, 6, ...\) seems to number the rows"),
        ([str(n * 5 % 24 + 1) for n in range(24)], r"'a' \(1, 6, ...\) seems to number the rows"),
    ],
)
def test_columns_that_are_no_features_are_asked_about(
    tmp_path: Path, cells: list[str], message: str
) -> None:
    text = rows_of(cells)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)
    assert load(tmp_path, text, drop=["a"]).spec.input_shape == (1,)
    kept = load(tmp_path, text, categorical=["a"])  # as the user says
    assert kept.spec.input_shape[0] > 5


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "A", "B"] * 9,
        ["<1", "1-2", ">2"] * 9,
        ["1", "2"] * 10 + ["A", "B", "C"],
        [f"v{n}" for n in range(18)],
        [str(n * n) for n in range(30)],
        [str(n % 29) for n in range(30)],
        [str(n) for n in range(20)],
    ],
)
def test_other_columns_are_taken_without_a_question(tmp_path: Path, cells: list[str]) -> None:
    load(tmp_path, rows_of(cells))


def test_an_id_is_known_by_its_name_and_by_its_values(tmp_path: Path) -> None:
    text = rows_of([str(n * n) for n in range(30)])
    assert load(tmp_path, text.replace("a,", "paid,", 1)).spec.input_shape == (2,)
    with pytest.raises(ConfigError, match=r"'patient_id' .*'data.numeric=\[patient_id\]' if"):
        load(tmp_path, text.replace("a,", "patient_id,", 1))
    named = load(tmp_path, text.replace("a,", "patient_id,", 1), numeric=["patient_id"])
    assert named.spec.input_shape == (2,)
    repeated = rows_of([str(n * n % 90) for n in range(30)])
    assert load(tmp_path, repeated.replace("a,", "vendor_id,", 1)).spec.input_shape == (2,)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ([f"{n % 9},5" for n in range(24)], {}, r"'y' holds .*another notation, .*task=classes"),
        ([str(n % 21) for n in range(42)], {}, r"all whole numbers from 0 to 20: .*classes or"),
        ([f"{n}.5" for n in range(24)], {"task": "classes"}, r"24 different values such as 0.5,"),
    ],
)
def test_targets_that_may_be_something_else(
    tmp_path: Path, target: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, rows_of(["u"] * len(target), target), **options)


def test_a_comma_before_the_fraction(tmp_path: Path) -> None:
    values = [n * n / 4 for n in range(12)]
    cells = [str(value).replace(".", ",") for value in values]
    text = rows_of(cells).replace('","', '";"').replace('",', '";').replace(',"', ';"')
    options: dict[str, Any] = {"delimiter": "semicolon", "normalize": "none"}
    data = load(tmp_path, text.replace("a,b,y", "a;b;y"), decimal="comma", **options)
    assert sorted([*data.train.x[:, 0], *data.test.x[:, 0]]) == values
    with pytest.raises(ConfigError, match=r"'a' holds '0.5', no number"):
        load(tmp_path, rows_of(["0.5", "1,5"] * 5), decimal="comma", numeric=["a"])
