"""A user's own data: a CSV file with a header line, or arrays in an npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data._csv_table import Choice, csv_table
from fedrun.data._npz_table import npz_table
from fedrun.data._split import OpenFraction
from fedrun.data._target import Task

HUGGINGFACE = "data=huggingface reads it (data.path, data.target, data.client)"
ELSEWHERE = {
    **dict.fromkeys((".parquet", ".arrow", ".json", ".jsonl"), HUGGINGFACE),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "save the sheet as CSV (UTF-8)"),
    **dict.fromkeys((".zip", ".bz2", ".xz", ".7z"), "unpack it, or pack it with gzip"),
    ".npy": "save x and y together with numpy.savez",
}


def table(
    *,
    path: str | None = None,
    target: str | None = None,
    client: str | None = None,
    numeric: list[str] | None = None,
    categorical: list[str] | None = None,
    drop: list[str] = [],  # noqa: B006 - read only; the same default as the YAML's
    task: Task = "auto",
    test_path: str | None = None,
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
    delimiter: str = ",",
    header: bool = True,
    decimal: Literal["point", "comma"] = "point",
    missing: Literal["error", "mean", "drop"] = "error",
    channels: Literal["first", "last"] = "first",
    normalize: Literal["train", "channel", "none"] = "train",
) -> Dataset:
    """Your own CSV (.csv, .csv.gz) or NPZ file (arrays x, y, client, x_test, y_test, client_test).

    path: the file; CSV is UTF-8 with a header line, any name but *.npz; never null.
    target: CSV: the column to predict; a target that is a number keeps its own units.
    client: CSV: the column that names each row's owner; null leaves the rows to the partition.
    numeric: CSV: columns that are numbers; null guesses (every value parses as a number).
    categorical: CSV: columns to one-hot by the training rows' values; null guesses (the others).
    drop: CSV: columns that are no features, such as a row number.
    task: auto takes text, and at most 20 different whole numbers, as classes (two: binary).
    test_path: CSV: file with the test rows, same columns; null splits, within each client if named.
    test_fraction: share of the rows held out where no test set is given (above 0 and below 1).
    split_seed: draws which rows these are; stratified by class and apart from the run's seed.
    delimiter: CSV: the character between cells, or tab, semicolon, pipe, comma.
    header: CSV: whether the first line names the columns; false calls them column_1, column_2, ...
    decimal: CSV: the sign before the fraction of a number (comma: 1,5 is a number, 1.5 is text).
    missing: CSV: what empty, NA, NaN, null, none and ? do: error names the cell, drop the row, mean
        puts the training mean (a category: all zeros).
    channels: NPZ: where the channels of x stand; last moves them first, as models want them
        (windows [rows, steps, channels], pictures [rows, height, width, channels]).
    normalize: train z-scores numbers (npz: each number of x) by the training rows, channel each
        channel of x as a whole; none leaves them.
    """
    if path is None:
        raise ConfigError("data=table needs data.path=FILE (.csv, .csv.gz or .npz)")
    file = _existing("path", path)
    if file.suffix.lower() == ".npz":
        only_csv = {
            "target": target,
            "client": client,
            "numeric": numeric,
            "categorical": categorical,
            "drop": drop or None,
            "test_path": test_path,
            "delimiter": None if delimiter == "," else delimiter,
            "header": None if header else "false",
            "decimal": None if decimal == "point" else decimal,
            "missing": None if missing == "error" else missing,
        }
        for key, value in only_csv.items():
            if value is not None:
                raise ConfigError(f"data.{key}={value} has no effect on an npz file ({path})")
        return npz_table(
            file,
            task=task,
            test_fraction=test_fraction,
            split_seed=split_seed,
            channels=channels,
            normalize=normalize,
        )
    if channels != "first" or normalize == "channel":
        key, value = ("channels", channels) if channels != "first" else ("normalize", normalize)
        raise ConfigError(f"data.{key}={value} is for npz files; a row of {path} has no channels")
    choice = Choice(target, client, numeric, categorical, drop)
    return csv_table(
        file,
        choice,
        task=task,
        test_path=None if test_path is None else _existing("test_path", test_path),
        test_fraction=test_fraction,
        split_seed=split_seed,
        delimiter=delimiter,
        header=header,
        decimal="," if decimal == "comma" else ".",
        missing=missing,
        normalize=normalize,
    )


def _existing(key: str, path: str) -> Path:
    file = Path(path).expanduser()
    if mend := ELSEWHERE.get(file.suffix.lower()):
        raise ConfigError(f"data.{key}={path} is neither CSV nor npz: {mend}")
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise ConfigError(f"data.{key}={path} {what}; give a .csv, .csv.gz or .npz file")
    return file
