"""A data set written in the config itself: a handful of rows to compute by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Kind, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation

MAX_CLASSES = 1000


def inline(
    *,
    x: list[list[float]] | None = None,
    y: list[float] | None = None,
    client: list[int] | None = None,
    task: Literal["number", "classes", "binary"] = "number",
) -> Dataset:
    """Rows given in the config, for teaching and tests; the test set is the same rows.

    x: the rows, each a list of the same length, such as [[1, 0], [0, 1]].
    y: one target per row (classes: 0, 1, 2, ...; binary: 0 or 1).
    client: the natural owner of each row, any whole numbers; null leaves the rows to the partition.
    task: what a target is (number: squared error; classes and binary: cross entropy).
    """
    if x is None or y is None:
        missing = " and ".join(key for key, value in (("x", x), ("y", y)) if value is None)
        raise ConfigError(
            f"data=inline needs data.{missing.replace('and ', 'and data.')}:"
            " rows and targets such as 'data.x=[[1,0],[0,1]]' 'data.y=[1,2]'"
        )
    rows, targets = _rows(x), _targets(y, len(x))
    owner, names = _owners(client, len(x))
    spec, labels = _spec(rows.shape[1:], targets, task)
    split = Split(rows, labels, owner)
    done = Preparation("the numbers of the config, as they are")
    return Dataset("inline", spec, split, split, names, "written in the config", prepared=done)


def _rows(x: list[list[float]]) -> Array:
    if not x or not x[0]:
        raise ConfigError("data.x is empty; give at least one row of at least one number")
    for number, row in enumerate(x):
        if len(row) != len(x[0]):
            raise ConfigError(
                f"data.x: row {number} has {len(row)} numbers and row 0 has {len(x[0])}"
            )
    rows = _single(x)
    if not np.isfinite(rows).all():
        raise ConfigError("data.x holds a number that is not finite in float32")
    return rows


def _targets(y: list[float], rows: int) -> Array:
    if len(y) != rows:
        raise ConfigError(f"data.y has {len(y)} targets and data.x has {rows} rows")
    targets = _single(y)
    if not np.isfinite(targets).all():
        raise ConfigError("data.y holds a number that is not finite in float32")
    return targets


def _single(values: list[float] | list[list[float]]) -> Array:
    with np.errstate(over="ignore"):  # becomes inf, which the caller refuses by name
        return np.array(values, np.float64).astype(np.float32)


def _owners(client: list[int] | None, rows: int) -> tuple[Array | None, tuple[str, ...]]:
    if client is None:
        return None, ()
    if len(client) != rows:
        raise ConfigError(f"data.client has {len(client)} entries and data.x has {rows} rows")
    number = {identity: k for k, identity in enumerate(sorted(set(client)))}
    owner = np.array([number[identity] for identity in client], np.int64)
    return owner, tuple(str(identity) for identity in number)


def _spec(input_shape: tuple[int, ...], targets: Array, task: Kind) -> tuple[Spec, Array]:
    if task == "number":
        return Spec(input_shape, 1, "number"), targets.reshape(-1, 1)
    highest = 1 if task == "binary" else MAX_CLASSES - 1
    wrong = (targets != np.floor(targets)) | (targets < 0) | (targets > highest)
    if wrong.any():
        raise ConfigError(
            f"data.y holds {targets[wrong][0]:g}; data.task={task} takes whole numbers from 0 to"
            f" {highest}"
        )
    classes = 2 if task == "binary" else max(2, int(targets.max()) + 1)
    names = tuple(str(k) for k in range(classes))
    spec = Spec(input_shape, 1 if task == "binary" else classes, task, names)
    return spec, targets.astype(np.int64)
