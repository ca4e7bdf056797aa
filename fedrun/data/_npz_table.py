"""Arrays of an npz file as a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation
from fedrun.data._half import drawn_halves, given_halves, refuse_split_options
from fedrun.data._npz import read_npz
from fedrun.data._scale import SCORED, Scale, fitted
from fedrun.data._target import Task, owners, target_spec


def npz_table(
    path: Path,
    *,
    task: Task,
    test_fraction: float,
    split_seed: int,
    channels: Literal["first", "last"],
    normalize: Literal["train", "channel", "none"],
) -> Dataset:
    """channels: the axis of x, behind the rows, along which its channels stand."""
    arrays = read_npz(path)
    for key, value, default in (("channels", channels, "first"), ("normalize", normalize, "train")):
        if value in ("last", "channel") and arrays["x"].ndim < 3:
            raise ConfigError(
                f"data.{key}={value} needs x of shape [rows, channels, ...], found"
                f" {arrays['x'].shape} in {path}; data.{key}={default} takes that"
            )
    if channels == "last":
        for name in arrays.keys() & {"x", "x_test"}:
            arrays[name] = np.moveaxis(arrays[name], -1, 1)
    own_test = "x_test" in arrays
    x, y = _joined(path, arrays, "x"), _joined(path, arrays, "y")
    is_test = np.arange(len(x)) >= len(arrays["x"])
    if own_test:
        refuse_split_options(f"{path} (x_test)", test_fraction, split_seed)
    spec, y = target_spec(f"{path}: y", y, task)
    owner: Array | None = None
    names: tuple[str, ...] = ()
    if "client" in arrays:
        ids = [str(identity) for identity in _joined(path, arrays, "client").tolist()]
        owner, names = owners(ids)
    if own_test:
        train, test = given_halves(spec, y, is_test)
    else:
        train, test = drawn_halves(spec, y, owner, test_fraction, split_seed)
    prepared = Preparation("the arrays of the file, as they are")
    if normalize == "train":
        scale = fitted(x[train])
        x_train, x_test, prepared = scale(x[train]), scale(x[test]), of_arrays(scale)
    elif normalize == "channel":
        x_train, x_test, prepared = by_channel(x[train], x[test])
    else:
        x_train, x_test = x[train].astype(np.float32), x[test].astype(np.float32)
    # A test set may come without owners; then its rows are dealt out by the partition.
    test_owner = None if owner is None or len(owner) < len(x) else owner[test]
    return Dataset(
        name="table",
        spec=replace(spec, input_shape=x_train.shape[1:]),
        train=Split(x_train, y[train], None if owner is None else owner[train]),
        test=Split(x_test, y[test], test_owner),
        client_names=names,
        source=str(path),
        prepared=prepared,
    )


def by_channel(train: Array, test: Array) -> tuple[Array, Array, Preparation]:
    """Each channel less its mean in the training rows, over its deviation, all places together."""
    count = train.shape[1]
    names = [f"channel{number}" for number in range(count)]
    scale = fitted(np.moveaxis(train, 1, -1).reshape(-1, count))
    done = Preparation(f"each channel {SCORED}", scale.features(names))
    shape = (count, *[1] * (train.ndim - 2))
    scale = Scale(scale.mean.reshape(shape), scale.deviation.reshape(shape))
    return scale(train), scale(test), done


def of_arrays(scale: Scale) -> Preparation:
    """Constants of rows of numbers; of arrays of more axes each number has its own, and they are
    left out."""
    if scale.mean.ndim > 1:
        how = f"{SCORED}, each number of an example apart; the constants are not kept"
        return Preparation(how, lost=True)
    return Preparation(SCORED, scale.features([f"x{at}" for at in range(len(scale.mean))]))


def _joined(path: Path, arrays: dict[str, Array], name: str) -> Array:
    """Training and test part of one array, one below the other."""
    parts = [arrays[key] for key in (name, f"{name}_test") if key in arrays]
    text = [part.dtype.kind == "U" for part in parts]
    if any(text) != all(text) or any(part.ndim != parts[0].ndim for part in parts):
        raise ConfigError(f"{path}: {name} and {name}_test must hold the same kind of thing")
    if parts[-1].shape[1:] != parts[0].shape[1:]:
        raise ConfigError(
            f"{path}: {name} has shape {parts[0].shape}, {name}_test {parts[-1].shape}"
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
