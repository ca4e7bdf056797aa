"""Owners that the data name: who they are, and whose the test rows are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Ragged, grouped, matched_test


@dataclass(frozen=True)
class Owners:
    """The owners that have a training row, in the order of their numbers.

    numbers, sizes: int64 [owners], the data's number of each and its training rows.
    train, test: int64 [rows], the place of each row's owner among them, -1 where it is not there;
    test is None where the data name owners of the training rows only.
    """

    numbers: Array
    sizes: Array
    train: Array
    test: Array | None

    def __len__(self) -> int:
        return len(self.numbers)

    def held(self, dataset: Dataset, client: Array, count: int) -> tuple[Ragged, Ragged]:
        """Training and test rows where owner k's are client `client[k]`'s (-1: nobody's)."""
        train = grouped(client[self.train], count)
        if self.test is None:
            return train, matched_test(dataset, train)
        return train, grouped(np.where(self.test >= 0, client[self.test], -1), count)


def owners(choice: str, dataset: Dataset) -> Owners:
    """Who owns which rows; refuses data that name no owners."""
    owner, test_owner = dataset.train.client, dataset.test.client
    if owner is None:
        others = {"number": "iid or shards", "tokens": "iid"}.get(
            dataset.spec.kind, "iid, dirichlet or shards"
        )
        raise ConfigError(
            f"partition={choice}: data={dataset.name} names no owners; "
            f"take partition={others} and set clients.count"
        )
    numbers, place, sizes = np.unique(owner, return_inverse=True, return_counts=True)
    test = None if test_owner is None else _place(numbers, test_owner)
    return Owners(numbers, sizes, place, test)


def _place(numbers: Array, owner: Array) -> Array:
    """Where each owner stands in the sorted `numbers`, -1 where it does not."""
    place = np.minimum(np.searchsorted(numbers, owner), len(numbers) - 1)
    return np.where(numbers[place] == owner, place, -1)
