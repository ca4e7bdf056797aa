"""Adult, or census income (Becker and Kohavi 1996, UCI, CC BY 4.0): who earns more than 50,000.

The groups of AFL (Mohri, Sivek and Suresh, "Agnostic federated learning", ICML 2019) and q-FFL (Li,
Sanjabi, Beirami and Smith, "Fair resource allocation in federated learning", ICLR 2020) are
`client=doctorate` with `features=categorical`: two clients, 99 indicators, no numbers.

adult.data trains and adult.test tests; neither has a header, ` ?` is a missing value, the labels of
adult.test end in a dot. An indicator per value that adult.data has; a missing one is all zeros.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._bytes import read_bytes
from fedrun.data._cache import locate
from fedrun.data._csv import Sheet
from fedrun.data._download import Remote
from fedrun.data._feature import ENCODED, encode
from fedrun.data._number import is_missing
from fedrun.data._target import owners

MIRRORS = ("https://archive.ics.uci.edu/ml/machine-learning-databases/adult/",)
FILES = (
    Remote(
        "adult.data",
        3_974_305,
        "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    ),
    Remote(
        "adult.test",
        2_003_153,
        "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    ),
)
# name -> is it a number?
COLUMNS = {
    "age": True,
    "workclass": False,
    "fnlwgt": True,
    "education": False,
    "education-num": True,
    "marital-status": False,
    "occupation": False,
    "relationship": False,
    "race": False,
    "sex": False,
    "capital-gain": True,
    "capital-loss": True,
    "hours-per-week": True,
    "native-country": False,
}
LABELS = ("<=50K", ">50K")


def adult(
    *,
    root: str | None = None,
    features: Literal["all", "categorical"] = "all",
    client: Literal["none", "doctorate", "education", "race", "sex"] = "none",
    missing: Literal["zeros", "drop"] = "zeros",
) -> Dataset:
    """32,561 + 16,281 people of the 1994 census, income above 50,000 or not (24 % are).

    root: folder with adult.data and adult.test; null keeps them in a per-user cache folder
        (FEDRUN_DATA moves it), downloaded and checked on first use.
    features: all is 6 z-scored numbers and 99 indicators, categorical the indicators alone (AFL,
        q-FFL).
    client: natural owners by a column, which stays a feature: doctorate (holders and all others;
        AFL, q-FFL), education (16), race (5), sex; none leaves the rows to the partition.
    missing: zeros leaves all indicators of a missing value at 0, drop drops such rows (30,162 +
        15,060 stay).
    """
    paths = locate("adult", root, FILES, MIRRORS)
    (sheet, labels), (other, more) = (_read(path) for path in paths)
    rows = len(sheet)
    sheet, y = sheet.append(other), np.concatenate([labels, more])
    whole = np.ones(len(sheet), bool)
    if missing == "drop":
        for text in sheet.columns.values():
            whole &= ~np.array([is_missing(cell) for cell in text])
    sheet, y, is_test = sheet.keep(whole), y[whole], (np.arange(len(y)) >= rows)[whole]
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    if not len(train) or not len(test) or len(np.unique(y[train])) < 2:
        raise ConfigError(f"{paths[0]}: training and test rows, and both labels, expected")
    numeric = {name: number for name, number in COLUMNS.items() if features == "all" or not number}
    x_train, x_test, features = encode(sheet, numeric, train, test, "train")
    owner, names = _owners(sheet, client)
    return Dataset(
        name="adult",
        spec=replace(Spec((), 1, "binary", LABELS), input_shape=x_train.shape[1:]),
        train=Split(x_train, y[train], None if owner is None else owner[train]),
        test=Split(x_test, y[test], None if owner is None else owner[test]),
        client_names=names,
        source="UCI adult, adult.data and adult.test" + ("" if root else f", {MIRRORS[0]}"),
        licence="CC BY 4.0 (UCI)",
        prepared=Preparation(ENCODED, features),
    )


def _read(path: Path) -> tuple[Sheet, Array]:
    """The features as text, and int64 labels."""
    table: list[list[str]] = []
    place, labels = [], []
    for number, line in enumerate(read_bytes(path).decode("latin-1").splitlines(), start=1):
        if not line.strip() or line.startswith("|"):  # adult.test opens with a remark
            continue
        *cells, label = (cell.strip() for cell in line.split(","))
        if len(cells) != len(COLUMNS):
            raise ConfigError(
                f"{path}, line {number}: {len(COLUMNS) + 1} values expected, {len(cells) + 1} found"
            )
        if label.removesuffix(".") not in LABELS:
            raise ConfigError(f"{path}, line {number}: label {label!r}, <=50K or >50K expected")
        table.append(cells)
        labels.append(LABELS.index(label.removesuffix(".")))
        place.append((path, number))
    if not table:
        raise ConfigError(f"{path} has no rows")
    columns = zip(COLUMNS, map(list, zip(*table, strict=True)), strict=True)
    return Sheet(dict(columns), place), np.array(labels, np.int64)


def _owners(sheet: Sheet, client: str) -> tuple[Array | None, tuple[str, ...]]:
    if client == "none":
        return None, ()
    if client == "doctorate":
        other = [education != "Doctorate" for education in sheet.columns["education"]]
        return np.array(other, np.int64), ("doctorate", "other")
    return owners(sheet.columns[client])
