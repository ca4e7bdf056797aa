"""Files in LIBSVM's format as a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Dataset, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._given import refuse_beyond_memory
from fedrun.data._half import drawn_halves, given_halves, refuse_split_options
from fedrun.data._libsvm import read_libsvm
from fedrun.data._scale import SCORED, fitted
from fedrun.data._target import Task, target_spec


def libsvm_table(
    name: str,
    path: Path,
    test_path: Path | None,
    features: int | None,
    task: Task,
    *,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    normalize: Literal["none", "train"] = "none",
) -> Dataset:
    sparse = read_libsvm(path)
    is_test = np.zeros(len(sparse), bool)
    if test_path is not None:
        refuse_split_options(f"data.test_path={test_path}", test_fraction, split_seed)
        sparse = sparse.append(read_libsvm(test_path))
        is_test = np.arange(len(sparse)) >= len(is_test)
    width = features or sparse.width
    if not width or sparse.width > width:
        raise ConfigError(f"{path}: data.features={width}, but its largest index is {sparse.width}")
    copies = 2 if normalize == "train" else 1
    refuse_beyond_memory(
        f"{path} ({len(sparse):,} rows of {width:,} features)",
        4 * len(sparse) * width * copies,
        "sparse rows are not supported, so take fewer rows or features",
    )
    spec, y = target_spec(f"{path}: the label", sparse.label, task)
    if test_path is None:
        train, test = drawn_halves(spec, y, None, test_fraction, split_seed)
    else:
        train, test = given_halves(spec, y, is_test)
    x_train, x_test = sparse.dense(train, width), sparse.dense(test, width)
    prepared = Preparation("the numbers of the file: index 1 stands first, what it lacks is 0")
    if normalize == "train":
        scale = fitted(x_train)
        x_train, x_test = scale(x_train), scale(x_test)
        names = [str(index) for index in range(1, width + 1)]
        prepared = Preparation(SCORED, scale.features(names))
    return Dataset(
        name=name,
        spec=replace(spec, input_shape=(width,)),
        train=Split(x_train, y[train]),
        test=Split(x_test, y[test]),
        source=f"{path}" + (f", test rows {test_path}" if test_path else ""),
        prepared=prepared,
    )
