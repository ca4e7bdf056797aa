"""Independent and identically distributed clients: the easy case that others are compared with.

McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
AISTATS 2017, section 3: "IID, where the data is shuffled, and then partitioned".
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Dataset
from fedrun.core.partition import Partition
from fedrun.partition._owner import by_owner, checked_count, even_sizes


def iid(dataset: Dataset, count: int | None, draw: np.random.Generator) -> Partition:
    """Shuffle the rows and cut them into parts whose sizes differ by at most one.

    Rule `iid/even@1`: permute all training rows; the first `rows mod clients` clients get one row
    more than the others. Every row is used.

    Differs: FL-bench drops the remainder. Sizes are even but label counts are only so on average.
    """
    count = checked_count("iid", dataset, count)
    rows = len(dataset.train)
    owner = np.empty(rows, np.int64)
    owner[draw.permutation(rows)] = np.repeat(np.arange(count), even_sizes(rows, count))
    return by_owner("iid/even@1", dataset, owner, count)
