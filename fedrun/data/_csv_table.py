"""A sheet of text as a data set: which column is what, what is missing, who tests."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._csv import Sheet, listed, read_csv
from fedrun.data._doubt import nearly_all_differ, numbers_the_rows, text_in_doubt
from fedrun.data._feature import ENCODED, encode, kinds, parse
from fedrun.data._half import drawn_halves, given_halves, refuse_split_options
from fedrun.data._number import any_missing, is_missing, number
from fedrun.data._target import Task, owners, target_spec

Missing = Literal["error", "mean", "drop"]


@dataclass(frozen=True)
class Choice:
    """What the user says of the columns."""

    target: str | None
    client: str | None
    numeric: list[str] | None
    categorical: list[str] | None
    drop: list[str]

    def named(self) -> list[tuple[str, str]]:
        """(option, column) for every column the user names."""
        one = [("target", self.target), ("client", self.client)]
        many = [("numeric", self.numeric), ("categorical", self.categorical), ("drop", self.drop)]
        return [(key, name) for key, name in one if name is not None] + [
            (key, name) for key, names in many for name in names or []
        ]


def csv_table(
    path: Path,
    choice: Choice,
    *,
    task: Task,
    test_path: Path | None,
    test_fraction: float,
    split_seed: int,
    delimiter: str,
    header: bool,
    decimal: str,
    missing: Missing,
    normalize: Literal["train", "none"],
) -> Dataset:
    sheet = read_csv(path, delimiter, header=header, decimal=decimal)
    target, features = check(choice, path, list(sheet.columns))
    sheet = sheet.without(choice.drop)
    refuse_doubtful(sheet, choice, target if task == "auto" else None, features)
    is_test = np.zeros(len(sheet), bool)
    if test_path is not None:
        refuse_split_options(f"data.test_path={test_path}", test_fraction, split_seed)
        other = read_csv(test_path, delimiter, header=header, decimal=decimal)
        sheet = sheet.append(other.without(choice.drop))
        is_test = np.arange(len(sheet)) >= len(is_test)
    whole = find_missing(sheet, choice, missing)
    sheet, is_test = sheet.keep(whole), is_test[whole]
    if not (~is_test).any() or (test_path is not None and not is_test.any()):
        raise ConfigError(
            "data.missing=drop leaves no row; drop the columns that lack values instead"
        )
    numeric = kinds(sheet, features, choice.numeric, choice.categorical)
    is_number = task == "number" or sheet.numbers(target) is not None
    values = parse(sheet, target) if is_number else np.array(sheet.columns[target], np.str_)
    spec, y = target_spec(f"target {target!r}", values, task)
    owner, names = owners(sheet.columns[choice.client]) if choice.client else (None, ())
    if test_path is None:
        train, test = drawn_halves(spec, y, owner, test_fraction, split_seed)
    else:
        train, test = given_halves(spec, y, is_test)
    x_train, x_test, features = encode(sheet, numeric, train, test, normalize)
    return Dataset(
        name="table",
        spec=replace(spec, input_shape=x_train.shape[1:]),
        train=Split(x_train, y[train], None if owner is None else owner[train]),
        test=Split(x_test, y[test], None if owner is None else owner[test]),
        client_names=names,
        source=f"{path}, target {target}" + (f", test rows {test_path}" if test_path else ""),
        prepared=Preparation(ENCODED, features),
    )


def check(choice: Choice, path: Path, columns: list[str]) -> tuple[str, list[str]]:
    """The target and the features in file order; ConfigError where the user's words do not fit."""
    seen: dict[str, str] = {}
    for key, name in choice.named():
        if name not in columns:
            raise ConfigError(_unknown(key, name, path, columns))
        if name in seen:
            other = "twice there" if seen[name] == key else f"in data.{seen[name]} too"
            raise ConfigError(f"data.{key} names the column {name!r}, which is {other}")
        seen[name] = key
    if choice.target is None:
        raise ConfigError(f"data.path={path} needs data.target=COLUMN; columns: {listed(columns)}")
    features = [name for name in columns if seen.get(name) not in ("target", "client", "drop")]
    if not features:
        raise ConfigError(f"{path} has no column left as a feature; columns: {listed(columns)}")
    return choice.target, features


def _unknown(key: str, name: str, path: Path, columns: list[str]) -> str:
    near = difflib.get_close_matches(name, columns, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if any(number(column) is not None for column in columns):
        hint += "; without a header line, give data.header=false"
    if len(columns) == 1:
        hint = "; is data.delimiter right?"
    return f"data.{key}={name!r} is no column of {path}{hint}\nColumns: {listed(columns)}"


def refuse_doubtful(sheet: Sheet, choice: Choice, target: str | None, features: list[str]) -> None:
    """ConfigError where a guess would be a silent mistake: about features that are in no list, and
    about a target whose task is to be guessed."""
    named = [*(choice.numeric or []), *(choice.categorical or [])]
    for name in [*features, *([] if target is None else [target])]:
        if name in named:
            continue
        cells, values = sheet.columns[name], sheet.numbers(name)
        mend = "say what it is with data.drop, data.categorical or data.numeric"
        if name == target:
            mend = "write it plainly, or give data.task=classes"
        if values is not None:
            if name != target and numbers_the_rows(name, values):
                raise ConfigError(
                    f"column {name!r} ({cells[0]}, {cells[1]}, ...) seems to number the rows;"
                    f" give 'data.drop=[{name}]', or 'data.numeric=[{name}]' if it is a feature"
                )
        elif odd := text_in_doubt(cells, sheet.decimal):
            what, cell = odd
            if what == "numbers in another notation" and sheet.decimal == "." and "," in cell:
                mend = "data.decimal=comma reads 1,5 as 1.5; " + mend
            where = sheet.where(cells.index(cell))
            raise ConfigError(f"column {name!r} holds {what}, such as {cell!r} ({where}); {mend}")
        elif name != target and (count := nearly_all_differ(cells)):
            raise ConfigError(
                f"column {name!r} holds {count:,} different texts in {len(cells):,} rows, such as"
                f" {cells[0]!r}: a name or an id? Give 'data.drop=[{name}]', or"
                f" 'data.categorical=[{name}]' for a feature each"
            )


def find_missing(sheet: Sheet, choice: Choice, missing: Missing) -> Array:
    """bool [rows]: the rows to keep. ConfigError at the first missing cell that may not be."""
    whole = np.ones(len(sheet), bool)
    for name, text in sheet.columns.items():
        if not any_missing(text):
            continue
        absent = np.array([is_missing(cell) for cell in text])
        needed = name in (choice.target, choice.client)
        if missing == "error" or (missing == "mean" and needed):
            row = int(np.flatnonzero(absent)[0])
            mend = "drop" if needed else "mean or data.missing=drop"
            raise ConfigError(
                f"column {name!r} has no value at {sheet.where(row)} ({absent.sum():,} such cells);"
                f" data.missing={mend} accepts this"
            )
        if missing == "drop":
            whole &= ~absent
    return whole
