"""Clients as the data name them: a hospital, a writer, a phone.

Caldas et al., "LEAF: a benchmark for federated settings", 2018: rows belong to who made them. Its
scripts draw users and drop those with few rows, and so do papers that take their data from there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedrun.core.dataset import Array, Dataset, Split
from fedrun.core.option import ConfigError, Count
from fedrun.core.partition import Numbers, Partition
from fedrun.partition._natural import Owners, owners


def natural(
    dataset: Dataset,
    count: int | None,
    draw: np.random.Generator,
    *,
    least: Count = 1,
    take: Count | None = None,
) -> Partition:
    """Make one client of each owner that the data name, or of some of them.

    least: fewest training rows of an owner that stays (at least 1; LEAF's k + 1; 1 is everybody)
    take: how many of those are drawn, by the seed (null: all; q-FFL 31 roles of Shakespeare)

    Rule `natural/owner@1`: clients are the owners that have a training row, in the order of their
    numbers; nothing is drawn. Owners without one are left out, and their test rows go to no client
    (they stay in the global test set). Test rows go to their own owner; where the data name owners
    of the training rows only, the test set is dealt in the mix of the training labels, as for the
    other rules.

    Rule `natural/kept_owners@1`, with `least` above 1 or a `take`: of the owners with `least`
    training rows or more, permuted, the first `take` stay, in the order of their numbers; a smaller
    `take` of the same seed keeps some of the same owners. Rows of the owners who are left out are
    nobody's, and their test rows leave the global test set, so the data have another hash; where
    the data name owners of the training rows only, the whole test set is scored. Test rows of
    owners without a training row stay, as above.

    Differs: LEAF keeps users with more than k rows, training and test together, after it has drawn
    users until they hold a share of all rows, of which the last gives a part.
    """
    known = owners("natural", dataset)
    kept = _kept(dataset, known, least, take, draw)
    if count is not None and count != len(kept):
        raise ConfigError(_another_count(dataset, known, len(kept), count))
    client = np.full(len(known), -1)
    client[kept] = np.arange(len(kept))
    chosen = least > 1 or take is not None
    rule = "natural/kept_owners@1" if chosen else "natural/owner@1"
    seen = _without_the_others(dataset, known, client, rule)
    if seen is not dataset:
        known = owners("natural", seen)
    train, test = known.held(seen, client, len(kept))
    numbers = known.numbers[kept]
    named = dataset.client_names
    names = tuple(named[number] for number in numbers) if named else Numbers(numbers)
    return Partition(rule, train, test, names, None if seen is dataset else seen)


def _kept(
    dataset: Dataset, known: Owners, least: int, take: int | None, draw: np.random.Generator
) -> Array:
    """int64, ascending: the places of the owners who stay."""
    enough = np.flatnonzero(known.sizes >= least)
    if not len(enough):
        raise ConfigError(
            f"partition.least={least}: accepted is 1 to {known.sizes.max()}, the training rows of "
            f"the largest owner in data={dataset.name}"
        )
    if take is None:
        return enough
    if take > len(enough):
        raise ConfigError(
            f"partition.take={take}: accepted is 1 to {len(enough)}, the owners in "
            f"data={dataset.name} that have at least partition.least={least} training rows"
        )
    return np.sort(draw.permutation(enough)[:take])


def _another_count(dataset: Dataset, known: Owners, clients: int, count: int) -> str:
    less = (
        f";\npartition.take={count} draws so many of the owners, partition=natural_dealt deals "
        f"them all to {count} clients"
        if count < len(known)
        else ""
    )
    return (
        f"partition=natural has {clients} clients in data={dataset.name}; "
        f"leave clients.count out (it is {count}){less}"
    )


def _without_the_others(dataset: Dataset, known: Owners, client: Array, rule: str) -> Dataset:
    """The data without the test rows of owners who have training rows and are no client."""
    if known.test is None:
        return dataset
    stays = (known.test < 0) | (client[known.test] >= 0)
    if stays.all():
        return dataset
    if not stays.any():
        raise ConfigError(
            f"partition.least and partition.take leave no test row of data={dataset.name}; "
            f"take more owners"
        )
    test = dataset.test
    assert test.client is not None
    source = f"{dataset.source}; test rows of the clients of {rule}".removeprefix("; ")
    return replace(
        dataset, test=Split(test.x[stays], test.y[stays], test.client[stays]), source=source
    )
