"""What a target is (classes, two classes or a number), and names as numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Spec
from fedrun.core.option import ConfigError
from fedrun.data._number import canonical

Task = Literal["auto", "classes", "binary", "number"]
AUTO_CLASSES = 20
MAX_CLASSES = 1000


def target_spec(key: str, values: Array, task: Task) -> tuple[Spec, Array]:
    """The task (its input shape still open) and int64 [N] labels or float32 [N, outputs].

    values: [N] text or numbers, [N, outputs] numbers; `auto` takes text, and at most 20 different
    whole numbers, as classes, and refuses what may be either.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    text = values.dtype.kind == "U"
    different = np.unique(values)
    if len(different) < 2:
        raise ConfigError(f"{key} is {different[0]} in every row; there is nothing to learn")
    if task == "auto":
        task = _guess(key, values, different)
    if task == "number":
        if text:
            raise ConfigError(
                f"{key} holds text such as {str(values.flat[0])!r}; data.task=number needs numbers,"
                " data.task=classes takes text"
            )
        return _number(key, values)
    if values.ndim != 1:
        raise ConfigError(
            f"{key} has shape {values.shape}; data.task={task} needs one label per row"
        )
    if task == "binary" and len(different) != 2:
        raise ConfigError(
            f"{key} has {len(different)} different values; data.task=binary needs exactly 2"
        )
    if len(different) > AUTO_CLASSES and not text and (different != np.floor(different)).any():
        raise ConfigError(
            f"{key} has {len(different):,} different values such as"
            f" {canonical(different[:1])[0]}, which are no classes; give data.task=number"
        )
    if len(different) > MAX_CLASSES:
        raise ConfigError(
            f"{key} has {len(different):,} different values, at most {MAX_CLASSES:,} classes are"
            " accepted; data.task=number is for targets that are numbers"
        )
    names = tuple(str(name) for name in different) if text else canonical(different)
    outputs = 1 if task == "binary" else len(names)
    labels = np.searchsorted(different, values).astype(np.int64)
    return Spec((), outputs, task, names), labels


def _guess(key: str, values: Array, different: Array) -> Literal["classes", "binary", "number"]:
    if values.dtype.kind != "U":
        if values.ndim > 1 and different.tolist() == [0, 1]:
            _refuse_bits(key, values.reshape(len(values), -1))
        whole = bool((different == np.floor(different)).all())
        if values.ndim == 1 and whole and len(different) > AUTO_CLASSES:
            _refuse_doubtful(key, different)
        if values.ndim != 1 or not whole or len(different) > AUTO_CLASSES:
            return "number"
    return "binary" if len(different) == 2 else "classes"


def _refuse_bits(key: str, values: Array) -> None:
    """Several columns of 0 and 1 are classes in another form, and no numbers."""
    if (values.sum(axis=1) == 1).all():
        raise ConfigError(
            f"{key} has a single 1 in each row of {values.shape[1]} numbers: give the number of"
            " the class instead (argmax), or data.task=number for squared errors"
        )
    raise ConfigError(
        f"{key} has {values.shape[1]} columns of only 0 and 1: multi-label classification is not"
        " offered; data.task=number trains squared errors, data.task=classes takes one label a row"
    )


def _refuse_doubtful(key: str, different: Array) -> None:
    """Each whole number from 0 or 1 on may well be a class, and squared errors would be a silent
    mistake."""
    first, last, count = different[0], different[-1], len(different)
    if first in (0, 1) and last - first == count - 1 and count <= MAX_CLASSES:
        raise ConfigError(
            f"{key} holds all whole numbers from {first:g} to {last:g}: give data.task=classes or"
            " data.task=number"
        )


def _number(key: str, values: Array) -> tuple[Spec, Array]:
    with np.errstate(over="ignore"):  # becomes inf, which is refused by name
        target = values.astype(np.float32).reshape(len(values), -1)
    if not np.isfinite(target).all():
        raise ConfigError(f"{key} holds a number that is not finite in float32")
    return Spec((), target.shape[1], "number"), target


def owners(ids: list[str]) -> tuple[Array, tuple[str, ...]]:
    """int64 [N] client numbers and their names, in numeric order if all are whole numbers."""
    names = set(ids)
    plain = all(name.isascii() and name.isdecimal() for name in names)
    order = sorted(names, key=lambda name: (int(name), name) if plain else (0, name))
    position = {name: k for k, name in enumerate(order)}
    return np.array([position[name] for name in ids], np.int64), tuple(order)
