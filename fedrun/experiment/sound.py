"""What data and partition must be, whoever wrote the code that made them; each is asked once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Partition, refuse_shared
from fedrun.experiment.bind import Bound


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


def refuse_split(fraction: float, bound: Mapping[str, Bound], dataset: Dataset) -> None:
    """Where rows of a client's own, drawn by chance, are no test of a model of the others."""
    if bound["partition"].options.get("test") == "clean":
        raise ConfigError(
            "partition.test=clean has no effect beside clients.test_fraction, which takes test "
            "rows from what the clients hold; leave one of them out"
        )
    if dataset.own_tests:
        raise ConfigError(
            f"clients.test_fraction={fraction:g} draws rows, and those of "
            f"data={bound['data'].name} overlap; {dataset.own_tests}"
        )


def no_own_tests(bound: Mapping[str, Bound], dataset: Dataset) -> ConfigError:
    """Clients have models of their own, and nothing to score them on."""
    return ConfigError(
        f"algorithm={bound['algorithm'].name} scores clients' own models on their own test rows, "
        f"and no client has one: with partition={bound['partition'].name} all those of "
        f"data={bound['data'].name} are strangers';\n"
        f"{dataset.own_tests or 'set clients.test_fraction, such as 0.25'}"
    )


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
