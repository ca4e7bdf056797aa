"""Rows of LEAF's files as a data set: users are the natural clients."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._half import drawn_halves, given_halves, refuse_split_options
from fedrun.data._leaf import Rows
from fedrun.data._target import Task, owners, target_spec


def leaf_set(
    name: str,
    train: Rows,
    test: Rows | None,
    *,
    classes: tuple[str, ...] | None,
    task: Task,
    shape: tuple[int, ...] | None,
    test_fraction: float,
    split_seed: int,
    source: str,
) -> Dataset:
    """classes: labels are 0, 1, ... with these names; None takes the classes that are there.
    shape: what one example is put into; None leaves it as it is in the files."""
    rows = train
    if test is not None:
        refuse_split_options("the folder's test half", test_fraction, split_seed)
        rows = _joined(train, test)
    x = rows.x
    if shape is not None:
        if int(np.prod(shape)) != int(np.prod(x.shape[1:])):
            raise ConfigError(
                f"data.shape={list(shape)} does not hold the {np.prod(x.shape[1:])} numbers of an"
                f" example of shape {x.shape[1:]}"
            )
        x = x.reshape(len(x), *shape)
    if classes is None:
        spec, y = target_spec("y", rows.y, task)
    else:
        y = _labels(rows, len(classes))
        spec = Spec((), len(classes), "classes", classes)
    spec = Spec(x.shape[1:], spec.outputs, spec.kind, spec.classes)
    owner, names = owners(rows.user)
    if test is None:
        present, compact = np.unique(y, return_inverse=True) if spec.labelled else (y, y)
        there = tuple(spec.classes[k] for k in present) if spec.labelled else ()
        halves = drawn_halves(
            Spec((), len(there), spec.kind, there),
            compact,
            owner,
            test_fraction,
            split_seed,
            given="a folder test beside train",
        )
    elif classes is None:
        halves = given_halves(spec, y, np.arange(len(y)) >= len(train.y))
    else:  # a named class may well be in the test rows only
        halves = np.split(np.arange(len(y)), [len(train.y)])
    return Dataset(
        name=name,
        spec=spec,
        train=Split(x[halves[0]], y[halves[0]], owner[halves[0]]),
        test=Split(x[halves[1]], y[halves[1]], owner[halves[1]]),
        client_names=names,
        source=source,
        prepared=Preparation("the numbers of the JSON files, as they are"),
    )


def _joined(train: Rows, test: Rows) -> Rows:
    if train.x.shape[1:] != test.x.shape[1:] or train.y.shape[1:] != test.y.shape[1:]:
        raise ConfigError(
            f"train and test differ: x of shape {train.x.shape[1:]} and {test.x.shape[1:]}, y of"
            f" shape {train.y.shape[1:]} and {test.y.shape[1:]}"
        )
    if (train.y.dtype.kind == "U") != (test.y.dtype.kind == "U"):
        raise ConfigError("the targets of one half are text, those of the other are numbers")
    return Rows(
        np.concatenate([train.x, test.x]),
        np.concatenate([train.y, test.y]),
        train.user + test.user,
    )


def _labels(rows: Rows, classes: int) -> np.ndarray:
    """int64 [N], each from 0 to classes - 1."""
    y = rows.y
    wrong = np.ones(1, bool)
    if y.ndim == 1 and y.dtype.kind in "iuf":
        wrong = (y != np.floor(y)) | (y < 0) | (y >= classes)
    if wrong.any():
        shown = y[int(wrong.argmax())].tolist()
        raise ConfigError(
            f"y holds {shown!r}, user {rows.user[int(wrong.argmax())]!r};"
            f" labels from 0 to {classes - 1} expected"
        )
    return y.astype(np.int64)
