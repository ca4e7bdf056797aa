"""Who holds what: row numbers per client, with the exact rule that drew them.

`Partition` is what a partitioner returns and what `partition.npz` holds. Its rows are kept as one
flat array with offsets, so a million clients cost two arrays and not a million.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import ConfigError


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length in one array: client k owns `rows[offsets[k]:offsets[k + 1]]`."""

    rows: Array
    offsets: Array

    @classmethod
    def of(cls, lists: list[Array]) -> Ragged:
        sizes = [len(rows) for rows in lists]
        flat = np.concatenate(lists) if lists else np.empty(0)
        return cls(flat.astype(np.int64), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, client: int) -> Array:
        return self.rows[self.offsets[client] : self.offsets[client + 1]]

    @cached_property
    def sizes(self) -> Array:
        return np.diff(self.offsets)

    @cached_property
    def holders(self) -> Array:
        """int64, ascending: the clients that hold a row."""
        return np.flatnonzero(self.sizes)

    def only(self, clients: Array) -> Ragged:
        """The same, with nothing held by others than these (ascending)."""
        sizes = np.zeros_like(self.sizes)
        sizes[clients] = self.sizes[clients]
        kept = np.repeat(sizes > 0, self.sizes)
        return Ragged(self.rows[kept], np.concatenate([[0], np.cumsum(sizes)]))

    @property
    def owner(self) -> Array:
        """int64 [rows]: the client that holds each entry of `rows`."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.sizes)


class Numbers(Sequence[str]):
    """The names of clients that the data do not name: numbers, written out when asked for."""

    def __init__(self, numbers: Array | range) -> None:
        self.numbers = numbers

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(str(number) for number in self.numbers[place])
        return str(self.numbers[place])

    def __len__(self) -> int:
        return len(self.numbers)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == (tuple(other) if isinstance(other, Numbers) else other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True)
class Partition:
    """Disjoint training rows of each client (`train`) and its share of the test set (`test`).

    rule: name and version of the exact rule, such as `dirichlet/per_class@1`.
    names: one name per client; numbers where the data name nobody.
    data: the data set as these clients see it, where the partition changes or copies rows; the row
    numbers refer to it, and everything that follows uses it.
    groups: int64 [clients], which clients see the data alike, where the rule makes such groups.
    """

    rule: str
    train: Ragged
    test: Ragged
    names: Sequence[str]
    data: Dataset | None = None
    groups: Array | None = None

    def __len__(self) -> int:
        return len(self.train)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of rule and row numbers: two runs with the same one trained on the same split."""
        digest = hashlib.sha256(self.rule.encode())
        for ragged in (self.train, self.test):
            digest.update(np.ascontiguousarray(ragged.offsets).data)
            digest.update(np.ascontiguousarray(ragged.rows).data)
        return digest.hexdigest()

    def counts(self, split: Split, spec: Spec, *, test: bool = False) -> Array:
        """int64 [clients, classes] examples per client and class; [clients, 1] where an example has
        no class (regression, token sequences)."""
        ragged = self.test if test else self.train
        classes = len(spec.classes) if spec.labelled else 1
        label = split.y[ragged.rows] if spec.labelled else np.zeros(len(ragged.rows), int)
        flat = np.bincount(ragged.owner * classes + label, minlength=len(self) * classes)
        return flat.reshape(len(self), classes).astype(np.int64)


def partition(
    rule: str, dataset: Dataset, train: list[Array], names: list[str] | None = None
) -> Partition:
    """Complete a split of the training rows with each client's share of the test set.

    Where the data name owners for the test rows, callers build `Partition` themselves; here the
    test set is shared out in the same proportions as the training set (`matched_test`).
    """
    held = Ragged.of([np.sort(rows) for rows in train])
    refuse_shared(f"partition rule {rule}", "training", held, len(dataset.train))
    named = tuple(names) if names else Numbers(range(len(train)))
    return Partition(rule, held, matched_test(dataset, held), named)


def refuse_shared(start: str, which: str, held: Ragged, rows: int) -> None:
    """A `ConfigError`, which begins with `start`, where a row is out of range or held twice."""
    inside = (held.rows >= 0) & (held.rows < rows)
    if not inside.all():
        place = int(np.argmin(inside))
        raise ConfigError(
            f"{start}: {which} row {held.rows[place]} is out of range; rows are 0 to {rows - 1} "
            f"(client {held.owner[place]} was given it)"
        )
    times = np.bincount(held.rows, minlength=rows)
    if times.max(initial=0) > 1:
        row = int(np.argmax(times > 1))
        first, second = np.sort(held.owner[held.rows == row])[:2]
        raise ConfigError(
            f"{start}: {which} row {row} is held twice, by clients {first} and {second}; each row "
            f"has one client"
        )


def matched_test(dataset: Dataset, held: Ragged) -> Ragged:
    """Deal the test set so that each client's share has the label mix of its training rows.

    For each class the test rows, in order, are cut at the clients' cumulative shares of that class
    (rounded); classes that nobody trains on go to no client. Disjoint; deterministic; draws
    nothing. Where examples have no class, all are of one.
    """
    labelled = dataset.spec.labelled
    label = dataset.train.y if labelled else np.zeros(len(dataset.train), np.int64)
    test_label = dataset.test.y if labelled else np.zeros(len(dataset.test), np.int64)
    classes = int(max(label.max(initial=0), test_label.max(initial=0))) + 1
    # Training rows and test rows by class; those of a class in the order of clients and of rows.
    owner = held.owner[by_class(label[held.rows], classes)]
    rows = by_class(test_label, classes)
    ends = np.cumsum(np.bincount(label[held.rows], minlength=classes))
    test_ends = np.cumsum(np.bincount(test_label, minlength=classes))
    test_owner = np.full(len(test_label), -1)
    for c in np.flatnonzero(np.diff(ends, prepend=0) * np.diff(test_ends, prepend=0)):
        owners = owner[ends[c - 1] if c else 0 : ends[c]]
        mine = rows[test_ends[c - 1] if c else 0 : test_ends[c]]
        # A cut may fall behind any training row: so many test rows lie before it. Only the cuts
        # between two clients matter, and a client's test rows are those of all its training rows.
        cuts = np.rint(np.arange(1, len(owners) + 1) / len(owners) * len(mine)).astype(np.int64)
        test_owner[mine] = np.repeat(owners, np.diff(cuts, prepend=0))
    return grouped(test_owner, len(held))


def own_tests(
    dataset: Dataset, partition: Partition, fraction: float, draw: np.random.Generator
) -> tuple[Dataset, Partition]:
    """Each client keeps a random `fraction` of its rows, rounded, as its own test set; one row at
    least stays for training. Together they are the test set, in the order of the clients."""
    held = partition.train
    count = np.minimum(np.rint(fraction * held.sizes).astype(np.int64), held.sizes - 1)
    if not count.any():
        raise ConfigError(
            f"clients.test_fraction={fraction:g} leaves no client a test row: they hold "
            f"{int(held.sizes.max())} rows at most; take a larger fraction or fewer clients"
        )
    order = np.lexsort([draw.random(len(held.rows)), held.owner])
    place = np.arange(len(order)) - np.repeat(held.offsets[:-1], held.sizes)
    kept = place < np.repeat(count, held.sizes)
    test_rows = np.sort(order[kept])  # the order of clients, and of a client's rows
    train_rows = np.sort(order[~kept])
    offsets = np.concatenate([[0], np.cumsum(count)])
    rows, source = held.rows[test_rows], dataset.train
    test = Split(
        source.x[rows],
        source.y[rows],
        source.client if source.client is None else source.client[rows],
    )
    split = Partition(
        f"{partition.rule} own_tests/{fraction:g}@1",
        Ragged(held.rows[train_rows], held.offsets - offsets),
        Ragged(np.arange(len(rows)), offsets),
        partition.names,
        groups=partition.groups,
    )
    return replace(dataset, test=test), split


def by_class(label: Array, classes: int) -> Array:
    """int64: row numbers sorted by label, stably; small integers are sorted in linear time."""
    return np.argsort(label.astype(np.min_scalar_type(classes)), kind="stable")


def grouped(owner: Array, count: int) -> Ragged:
    """Rows of clients 0 to count - 1, each ascending; nobody holds a row of owner -1."""
    rows = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner[owner >= 0], minlength=count)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Ragged(rows[len(rows) - offsets[-1] :].astype(np.int64), offsets)
