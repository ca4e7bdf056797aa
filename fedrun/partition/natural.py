"""Clients as the data name them: a hospital, a writer, a phone.

Caldas et al., "LEAF: a benchmark for federated settings", 2018: rows belong to who made them.
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Numbers, Partition, grouped, matched_test


def natural(dataset: Dataset, count: int | None, draw: np.random.Generator) -> Partition:
    """Make one client of each owner that the data name; nothing is drawn.

    Rule `natural/owner@1`: clients are the owners that have a training row, in the order of their
    numbers. Owners without one are left out, and their test rows go to no client (they stay in the
    global test set). Test rows go to their own owner; where the data name owners of the training
    rows only, the test set is dealt in the mix of the training labels, as for the other rules.

    Differs: nobody is dropped for having few rows (LEAF drops such writers) and owners are not
    grouped into larger clients (NIID-Bench's `real` deals writers to 10 parties).
    """
    owner, test_owner = dataset.train.client, dataset.test.client
    if owner is None:
        others = {"number": "iid or shards", "tokens": "iid"}.get(
            dataset.spec.kind, "iid, dirichlet or shards"
        )
        raise ConfigError(
            f"partition=natural: data={dataset.name} names no owners; "
            f"take partition={others} and set clients.count"
        )
    kept, client = np.unique(owner, return_inverse=True)
    if count is not None and count != len(kept):
        raise ConfigError(
            f"partition=natural has {len(kept)} clients in data={dataset.name}; "
            f"leave clients.count out (it is {count})"
        )
    train = grouped(client, len(kept))
    test = (
        matched_test(dataset, train)
        if test_owner is None
        else grouped(_position(kept, test_owner), len(kept))
    )
    known = dataset.client_names
    names = tuple(known[number] for number in kept) if known else Numbers(kept)
    return Partition("natural/owner@1", train, test, names)


def _position(kept: Array, owner: Array) -> Array:
    """Where each owner stands in the sorted `kept`, -1 where it does not."""
    place = np.minimum(np.searchsorted(kept, owner), len(kept) - 1)
    return np.where(kept[place] == owner, place, -1)
