"""Who holds what: row numbers per client, with the exact rule that drew them.

`Partition` is what a partitioner returns and what `partition.npz` holds. Its rows are kept as one
flat array with offsets, so a million clients cost two arrays and not a million.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split


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
    def owner(self) -> Array:
        """int64 [rows]: the client that holds each entry of `rows`."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.sizes)


@dataclass(frozen=True)
class Partition:
    """Disjoint training rows of each client (`train`) and its share of the test set (`test`).

    rule: name and version of the exact rule, such as `dirichlet/per_class@1`.
    names: one name per client; numbers where the data name nobody.
    """

    rule: str
    train: Ragged
    test: Ragged
    names: tuple[str, ...]

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
        """int64 [clients, classes] examples per client and class; [clients, 1] for regression."""
        ragged = self.test if test else self.train
        classes = len(spec.classes) if spec.kind != "number" else 1
        label = split.y[ragged.rows] if spec.kind != "number" else np.zeros(len(ragged.rows), int)
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
    numbers = [str(client) for client in range(len(train))]
    return Partition(rule, held, matched_test(dataset, held), tuple(names or numbers))


def matched_test(dataset: Dataset, held: Ragged) -> Ragged:
    """Deal the test set so that each client's share has the label mix of its training rows.

    For each class the test rows, in order, are cut at the clients' cumulative shares of that class
    (rounded); classes that nobody trains on go to no client. Disjoint; deterministic; draws
    nothing.
    """
    num_clients = len(held)
    number = dataset.spec.kind == "number"
    label = np.zeros(len(dataset.train), np.int64) if number else dataset.train.y
    test_label = np.zeros(len(dataset.test), np.int64) if number else dataset.test.y
    owner_of_rows: list[Array] = []
    rows_of_class: list[Array] = []
    for c in np.unique(test_label):
        rows = np.flatnonzero(test_label == c)
        shares = np.bincount(held.owner[label[held.rows] == c], minlength=num_clients)
        if shares.sum() == 0:
            continue
        cuts = np.rint(np.cumsum(shares) / shares.sum() * len(rows)).astype(np.int64)
        owner_of_rows.append(np.repeat(np.arange(num_clients), np.diff(cuts, prepend=0)))
        rows_of_class.append(rows)
    if not rows_of_class:
        return Ragged.of([np.empty(0, np.int64)] * num_clients)
    owner, rows = np.concatenate(owner_of_rows), np.concatenate(rows_of_class)
    order = np.lexsort((rows, owner))
    sizes = np.bincount(owner, minlength=num_clients)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Ragged(rows[order].astype(np.int64), offsets)
