"""Heart disease at four hospitals (Janosi, Steinbrunn, Pfisterer and Detrano 1988, UCI), prepared
as Fed-Heart-Disease of FLamby (Ogier du Terrail et al., NeurIPS 2022 Datasets and Benchmarks).

Columns slope, ca and thal are dropped, then every row with a missing value: 740 patients are left.
cp and restecg become indicators (categories of all hospitals, the first one dropped) behind the
other columns: age sex trestbps chol fbs thalach exang oldpeak cp=2 cp=3 cp=4 restecg=1 restecg=2.
Each hospital is split 66/34, stratified (Switzerland, with one healthy patient, is not), and
z-scored with the mean and sd (N - 1) of its training rows. Target: num > 0.

Differs: means and sds are taken in float64, and a column with one value among a hospital's training
rows (Switzerland's chol) is 0 there; FLamby computes in float32 and divides by sd + 1e-9.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._bytes import read_bytes
from fedrun.data._cache import locate
from fedrun.data._download import Remote
from fedrun.data._scale import SCORED, fitted

MIRRORS = ("https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/",)
FILES = (
    Remote(
        "processed.cleveland.data",
        18_461,
        "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
    ),
    Remote(
        "processed.hungarian.data",
        10_263,
        "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
    ),
    Remote(
        "processed.switzerland.data",
        4_109,
        "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
    ),
    Remote(
        "processed.va.data",
        6_737,
        "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
    ),
)
HOSPITALS = {"cleveland": 303, "hungarian": 261, "switzerland": 46, "va": 130}
COLUMNS = 14
FEATURES = (
    "age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak", "cp=2", "cp=3", "cp=4",
    "restecg=1", "restecg=2",
)  # fmt: skip
PLAIN, CHEST_PAIN, RESTING_ECG, TARGET = [0, 1, 3, 4, 5, 7, 8, 9], 2, 6, 13


def heart_disease(
    *,
    root: str | None = None,
    normalize: Literal["hospital", "pooled", "pooled_train"] = "hospital",
) -> Dataset:
    """740 patients of four hospitals, 13 features, heart disease or not; a hospital is a client.

    root: folder with processed.cleveland.data, processed.hungarian.data,
        processed.switzerland.data and processed.va.data; null keeps them in a per-user cache folder
        (FEDRUN_DATA moves it), downloaded and checked on first use.
    normalize: z-scores with each hospital's own training rows; with those of all; or
        (pooled_train) training rows with those of all and test rows by hospital, as FLamby's pooled
        baseline has it
    """
    paths = locate("heart_disease", root, FILES, MIRRORS)
    tables = [
        _complete_rows(path, rows) for path, rows in zip(paths, HOSPITALS.values(), strict=True)
    ]
    pooled = np.concatenate(tables)
    categories = {column: np.unique(pooled[:, column])[1:] for column in (CHEST_PAIN, RESTING_ECG)}
    raw = [_hospital(table, categories) for table in tables]
    scales = [fitted(x, ddof=1) for x, *_ in raw]
    xs = [(scale(x), scale(x_test)) for scale, (x, _, x_test, _) in zip(scales, raw, strict=True)]
    own = {name: scale.features(FEATURES) for name, scale in zip(HOSPITALS, scales, strict=True)}
    prepared = Preparation("z-scored by the training rows of each hospital", by_client=own)
    if normalize != "hospital":
        both = [np.concatenate([h[half] for h in raw]) for half in (0, 2)]
        scale = fitted(both[0], ddof=1)
        together = [scale(x) for x in both]
        ends = [np.cumsum([len(h[half]) for h in raw])[:-1] for half in (0, 2)]
        train, test = map(np.split, together, ends)
        tests = test if normalize == "pooled" else [x_test for _, x_test in xs]
        xs = list(zip(train, tests, strict=True))
        how = f"{SCORED} of all hospitals"
        if normalize == "pooled_train":
            how += ", but test rows by those of their own hospital"
        prepared = Preparation(how, scale.features(FEATURES))
    halves = [(x, y, x_test, z) for (x, x_test), (_, y, _, z) in zip(xs, raw, strict=True)]
    return Dataset(
        name="heart_disease",
        spec=Spec((halves[0][0].shape[1],), 1, "binary", ("healthy", "disease")),
        train=_join([(x, y) for x, y, _, _ in halves]),
        test=_join([(x, y) for _, _, x, y in halves]),
        client_names=tuple(HOSPITALS),
        source="UCI heart disease, four processed files" + ("" if root else f", {MIRRORS[0]}"),
        licence="CC BY 4.0 (UCI)",
        prepared=prepared,
    )


def _complete_rows(path: Path, expected: int) -> Array:
    """float64 [rows, 14] without the rows that lack a value in one of the columns that are kept."""
    rows = []
    for number, line in enumerate(read_bytes(path).decode("latin-1").splitlines(), start=1):
        cells = line.split(",")
        if len(cells) != COLUMNS:
            raise ConfigError(
                f"{path}, line {number}: {COLUMNS} values expected, {len(cells)} found"
            )
        try:
            rows.append([np.nan if cell.strip() == "?" else float(cell) for cell in cells])
        except ValueError as error:
            raise ConfigError(f"{path}, line {number}: {error}") from error
    table = np.array(rows).reshape(-1, COLUMNS)
    kept = [*PLAIN, CHEST_PAIN, RESTING_ECG, TARGET]
    table = table[np.isfinite(table[:, kept]).all(axis=1)]
    if len(table) != expected:
        raise ConfigError(
            f"{path}: {expected} complete rows expected, {len(table)} found; is it UCI's own file?"
        )
    return table


def _hospital(table: Array, categories: dict[int, Array]) -> tuple[Array, Array, Array, Array]:
    """Training x, y and test x, y of one hospital, in the order of its file, as they are."""
    from sklearn.model_selection import train_test_split

    indicators = [table[:, [column]] == values for column, values in categories.items()]
    x = np.concatenate([table[:, PLAIN], *indicators], axis=1)
    y = (table[:, TARGET] > 0).astype(np.int64)
    counts = np.bincount(y, minlength=2)
    train, test = train_test_split(
        np.arange(len(y)),
        train_size=0.66,
        test_size=1 - 0.66,
        random_state=43,
        stratify=y if counts.min() > 2 else None,
    )
    train, test = np.sort(train), np.sort(test)
    return x[train], y[train], x[test], y[test]


def _join(parts: list[tuple[Array, Array]]) -> Split:
    client = np.repeat(np.arange(len(parts), dtype=np.int64), [len(y) for _, y in parts])
    return Split(
        np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]), client
    )
