"""Owners dealt to a few parties: schools with their writers, theatres with their roles.

Li et al., "Federated learning on non-IID data silos: an experimental study", ICDE 2022, whose code
NIID-Bench has it as partition `real`: feature skew as the world has it. The writers of FEMNIST are
shared out at random and in equal numbers.

| paper's code | here | meaning |
| --- | --- | --- |
| n_parties | count | parties: 10 in the paper |
| num_user | - | owners in the data |
| u_train | - | training rows of each owner |
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.core.partition import Numbers, Partition
from fedrun.partition._natural import owners
from fedrun.partition._owner import checked_count, even_sizes


def natural_dealt(dataset: Dataset, count: int | None, draw: np.random.Generator) -> Partition:
    """Deal the owners that the data name to the clients, in numbers that differ by at most one.

    Rule `natural/dealt_owners@1`: the owners that have a training row are permuted and cut into
    `clients.count` runs, the larger ones first; a client holds all rows of its owners. As many
    clients as owners is `natural` in another order. Test rows go to the client of their owner;
    those of owners without a training row go to no client and stay in the global test set. Where
    the data name owners of the training rows only, the test set is dealt in the mix of the training
    labels.

    Differs: NIID-Bench has this for FEMNIST alone, scores the global test set only, and leaves a
    party empty where there are more parties than owners, which is refused here.
    """
    known = owners("natural_dealt", dataset)
    if count is not None and not 1 <= count <= len(known):
        raise ConfigError(
            f"clients.count={count} with partition=natural_dealt: accepted is 1 to {len(known)}, "
            f"the owners in data={dataset.name} with a training row"
        )
    count = checked_count("natural_dealt", dataset, count)
    client = np.empty(len(known), np.int64)
    client[draw.permutation(len(known))] = np.repeat(
        np.arange(count), even_sizes(len(known), count)
    )
    train, test = known.held(dataset, client, count)
    return Partition("natural/dealt_owners@1", train, test, Numbers(range(count)))
