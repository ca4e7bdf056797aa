"""heart_disease: FLamby's rows, columns, split and scale; on made files and on the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data.heart_disease import HOSPITALS, heart_disease

REAL = Path(
    os.environ.get("FEDRUN_TEST_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)
real = pytest.mark.skipif(not (REAL / "heart_disease").is_dir(), reason="the real files are absent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The right number of complete rows at each hospital, and two that lack a value."""
    draw = np.random.default_rng(0)
    for name, rows in HOSPITALS.items():
        table = draw.integers(50, 90, (rows, 14)).astype(float)
        table[:, 2] = np.arange(rows) % 4 + 1
        table[:, 6] = np.arange(rows) % 3
        table[:, 13] = np.arange(rows) % 5
        lines = [",".join(map(str, row)) for row in table]
        lines[3:3] = [",".join(["?"] + ["1"] * 13), ",".join(["1"] * 6 + ["?"] + ["1"] * 7)]
        # slope, ca and thal may lack a value: these columns are dropped.
        lines[0] = ",".join([*lines[0].split(",")[:10], "?", "?", "?", "0"])
        (tmp_path / f"processed.{name}.data").write_text("\n".join(lines) + "\n")
    return tmp_path


def check_counts_and_scale(data: Dataset) -> None:
    assert data.client_names == ("cleveland", "hungarian", "switzerland", "va")
    assert (data.spec.kind, data.spec.outputs, data.spec.input_shape) == ("binary", 1, (13,))
    assert np.bincount(data.train.client).tolist() == [199, 172, 30, 85]
    assert np.bincount(data.test.client).tolist() == [104, 89, 16, 45]
    for hospital in range(4):
        x = data.train.x[data.train.client == hospital].astype(np.float64)
        constant = (x == 0).all(axis=0)
        assert np.abs(x.mean(axis=0)).max() < 1e-6
        assert np.abs(x.std(axis=0, ddof=1) - 1)[~constant].max() < 1e-6


def test_made_files(folder: Path) -> None:
    check_counts_and_scale(heart_disease(root=str(folder)))


def test_columns_are_in_flambys_order(folder: Path) -> None:
    data = heart_disease(root=str(folder))
    x = np.concatenate([data.train.x, data.test.x])
    # After the 8 plain columns come cp = 2, 3, 4 and restecg = 1, 2: two values each, a hospital.
    for hospital in range(4):
        rows = x[np.concatenate([data.train.client, data.test.client]) == hospital]
        different = [len(np.unique(rows[:, column])) for column in range(13)]
        assert min(different[:8]) > 2
        assert different[8:] == [2] * 5


def test_row_count_is_checked(folder: Path) -> None:
    path = folder / "processed.va.data"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(ConfigError, match=r"va.data: 130 complete rows expected, 129 found"):
        heart_disease(root=str(folder))


@pytest.mark.parametrize(
    ("line", "message"),
    [("1,2,3", "line 1: 14 values expected, 3 found"), ("x" + ",1" * 13, "line 1: .*'x'")],
)
def test_bad_lines(folder: Path, line: str, message: str) -> None:
    (folder / "processed.hungarian.data").write_text(line)
    with pytest.raises(ConfigError, match=message):
        heart_disease(root=str(folder))


@real
def test_real_files() -> None:
    data = heart_disease(root=str(REAL / "heart_disease"))
    check_counts_and_scale(data)
    both = np.concatenate([data.train.client, data.test.client])
    y = np.concatenate([data.train.y, data.test.y])
    assert np.bincount(both, weights=y).tolist() == [139, 98, 45, 101]
    # Switzerland has one healthy patient, so its split is not stratified; chol is 0 throughout.
    assert (data.train.x[data.train.client == 2][:, 3] == 0).all()


@real
def test_first_patient_of_cleveland() -> None:
    data = heart_disease(root=str(REAL / "heart_disease"))
    lines = (REAL / "heart_disease" / "processed.cleveland.data").read_text().splitlines()
    age = np.array([float(line.split(",")[0]) for line in lines])
    x = np.concatenate([data.train.x[data.train.client == 0], data.test.x[data.test.client == 0]])
    # A z-score is undone by two patients of known age: 63 is the first row of the file.
    order = np.sort(x[:, 0])
    slope = (age.max() - age.min()) / (order[-1] - order[0])
    assert np.sort(age) == pytest.approx(age.min() + slope * (order - order[0]), abs=1e-3)
