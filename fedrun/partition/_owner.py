"""A split said as one client number per row, and the two checks that every rule makes first."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Numbers, Partition, grouped, matched_test


def by_owner(rule: str, dataset: Dataset, owner: Array, count: int) -> Partition:
    """The partition in which client `owner[i]` holds training row i; the test set is matched."""
    held = grouped(owner, count)
    return Partition(rule, held, matched_test(dataset, held), Numbers(range(count)))


def even_sizes(total: int, parts: int) -> Array:
    """`parts` sizes that differ by at most one and add up to `total`, the larger ones first."""
    return total // parts + (np.arange(parts) < total % parts)


def checked_count(choice: str, dataset: Dataset, count: int | None) -> int:
    """`clients.count` where the data do not say it: given, and at most one client per row."""
    if count is None:
        natural = dataset.train.client is not None
        other = "; partition=natural takes its clients from the data" if natural else ""
        raise ConfigError(f"partition={choice} needs clients.count, which is null{other}")
    rows = len(dataset.train)
    if not 1 <= count <= rows:
        raise ConfigError(
            f"clients.count={count} with partition={choice}: accepted is 1 to {rows}, "
            f"the training rows of data={dataset.name}"
        )
    return count
