"""Columns of text as features: numbers z-scored, categories one-hot, fitted on training rows."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Feature
from fedrun.data._csv import Sheet
from fedrun.data._number import is_missing, number
from fedrun.data._scale import fitted

MAX_CATEGORIES = 1000
ENCODED = "numbers and indicators, fitted on the training rows; an unknown category is all zeros"
Part = tuple[Array, Array, tuple[Feature, ...]]


def kinds(
    sheet: Sheet, features: list[str], numeric: list[str] | None, categorical: list[str] | None
) -> dict[str, bool]:
    """Name -> is it numeric? What the lists do not name is guessed: numbers throughout or not."""
    if numeric is not None and categorical is not None:
        unnamed = [name for name in features if name not in numeric + categorical]
        if unnamed:
            raise ConfigError(
                f"column {unnamed[0]!r} is in neither data.numeric nor data.categorical; add it to"
                " one of them or to data.drop"
            )
    chosen = dict.fromkeys(numeric or [], True) | dict.fromkeys(categorical or [], False)
    return {
        name: chosen[name] if name in chosen else sheet.numbers(name) is not None
        for name in features
    }


def encode(
    sheet: Sheet,
    numeric: dict[str, bool],
    train: Array,
    test: Array,
    normalize: Literal["train", "none"],
) -> tuple[Array, Array, tuple[Feature, ...]]:
    """float32 (train, test) features: columns in file order, a category as one column per value;
    and what each of them is."""
    parts = [
        _numeric(sheet, name, train, test, normalize)
        if is_numeric
        else _one_hot(sheet, name, train, test)
        for name, is_numeric in numeric.items()
    ]
    x_train, x_test = (np.concatenate([part[half] for part in parts], axis=1) for half in (0, 1))
    return x_train, x_test, tuple(feature for *_, features in parts for feature in features)


def _numeric(
    sheet: Sheet, name: str, train: Array, test: Array, normalize: Literal["train", "none"]
) -> Part:
    column = parse(sheet, name)
    missing = np.isnan(column)
    if missing[train].all():
        raise ConfigError(f"column {name!r} has no value in the training rows; add it to data.drop")
    mean = float(column[train][~missing[train]].mean())
    column = np.where(missing, mean, column)
    absent = mean if missing.any() else None
    column = column.reshape(-1, 1)
    if normalize == "train":
        scale = fitted(column[train])
        return scale(column[train]), scale(column[test]), scale.features([name], absent)
    x = column.astype(np.float32)
    return x[train], x[test], (Feature(name, missing=absent),)


def parse(sheet: Sheet, name: str) -> Array:
    """float64 [rows], NaN where missing; ConfigError at the first cell that is no finite number."""
    text = sheet.columns[name]
    column = sheet.numbers(name)
    if column is None:
        row = next(row for row, cell in enumerate(text) if number(cell, sheet.decimal) is None)
        raise ConfigError(f"column {name!r} holds {text[row]!r}, no number ({sheet.where(row)})")
    # float32 ends at 3.4e38; beyond it a number would turn into inf silently.
    outside = np.flatnonzero(np.abs(column) > np.finfo(np.float32).max)
    if len(outside):
        row = int(outside[0])
        raise ConfigError(
            f"column {name!r} holds {text[row]!r}, not finite in float32 ({sheet.where(row)})"
        )
    return column


def _one_hot(sheet: Sheet, name: str, train: Array, test: Array) -> Part:
    """A value that no training row has, or that is missing, is all zeros."""
    text = sheet.columns[name]
    values = sorted({text[row] for row in train.tolist() if not is_missing(text[row])})
    if not values:
        raise ConfigError(f"column {name!r} has no value in the training rows; add it to data.drop")
    if len(values) > MAX_CATEGORIES:
        raise ConfigError(
            f"column {name!r} has {len(values):,} categories, at most {MAX_CATEGORIES:,} are"
            " accepted; add it to data.drop, or to data.numeric if it holds numbers"
        )
    position = {value: k for k, value in enumerate(values)}
    code = np.array([position.get(cell, -1) for cell in text])
    hot = (code[:, None] == np.arange(len(values))).astype(np.float32)
    return hot[train], hot[test], tuple(Feature(name, category=value) for value in values)
