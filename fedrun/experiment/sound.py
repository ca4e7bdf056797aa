"""What data and partition must be, whoever wrote the code that made them; each is asked once."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Partition, refuse_shared


def refuse_missing(choice: str, dataset: Dataset) -> None:
    """One NaN or infinity is in every weight after a step, whatever the learning rate."""
    for which, split in (("training", dataset.train), ("test", dataset.test)):
        for what, array in (("inputs", split.x), ("targets", split.y)):
            if array.dtype.kind != "f" or not (bad := not_finite(array)).size:
                continue
            raise ConfigError(
                f"data={choice}: {bad.size} of {len(array)} {which} rows have {what} that are not "
                f"finite (NaN or inf), the first is row {bad[0]}; fill them in or leave them out"
            )


def not_finite(array: Array) -> Array:
    """int64, ascending: the rows that hold a NaN or an infinity."""
    # A sum of squares is not finite either; it may overflow by itself, and then all are looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.vdot(array, array)):
            return np.empty(0, np.int64)
    return np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))


def refuse_overlap(choice: str, partition: Partition, dataset: Dataset) -> None:
    """Each row has one client, and there are as many names and test shares as clients."""
    start = f"partition={choice}"
    count, shares, names = len(partition), len(partition.test), len(partition.names)
    if not count == shares == names:
        raise ConfigError(
            f"{start} gives {count} clients training rows, {shares} a share of the test set and "
            f"{names} names; the three must be as many"
        )
    splits = (("training", partition.train, dataset.train), ("test", partition.test, dataset.test))
    for which, held, split in splits:
        integers = held.rows.dtype == held.offsets.dtype == np.int64
        if not integers or (held.sizes < 0).any() or held.sizes.sum() != len(held.rows):
            raise ConfigError(
                f"{start}: {which} rows are {held.rows.dtype}, {len(held.rows)} of them, and "
                f"offsets {held.offsets.dtype}; expected are int64 row numbers and offsets that "
                f"cut all of them into clients, as Ragged.of(lists) makes them"
            )
        refuse_shared(start, which, held, len(split))
