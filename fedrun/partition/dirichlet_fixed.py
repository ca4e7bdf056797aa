"""Label skew by one Dirichlet draw per client, client after client, the rest discarded.

Granqvist et al., "pfl-research: simulation framework for accelerating research in private federated
learning", NeurIPS 2024, `partition_by_dirichlet_class_distribution`.

| paper's code | here | meaning |
| --- | --- | --- |
| user_dataset_len_sampler | examples | rows of each client |
| class_priors ~ Dir_K(alpha) | prior | class mix of the client that is filled |
| spread_distribution_after_num_fails | SPREAD_AFTER | draws per row before the mix is evened out |
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError, Count, above
from fedrun.core.partition import Partition
from fedrun.partition._by_client import ordinal
from fedrun.partition._dirichlet import share
from fedrun.partition._owner import by_owner, refuse_unlabelled

SPREAD_AFTER, SPREAD, MOST_SPREADS = 20, 0.02, 1000


def dirichlet_fixed(
    dataset: Dataset,
    count: int | None,
    draw: np.random.Generator,
    *,
    alpha: Annotated[float, above(0)] = 0.1,
    examples: Count = 50,
) -> Partition:
    """Build clients of a fixed size one after another and leave the rows over to nobody.

    alpha: evenness of each client's mix (above 0; pfl-research 0.1; near 0 is one class each)
    examples: rows of every client (at least 1; pfl-research 50 on CIFAR-10)

    Rule `dirichlet/client_by_client@1`: for each client in turn draw q ~ Dir_K(alpha, ..., alpha).
    Draw classes from q; where a class has rows left the client takes a random one, else the draw
    was in vain. After every 20 x `examples` draws add 0.02 to each entry of q and normalise it; so
    the last clients are more even than the first. There are `clients.count` clients, or, where that
    is null, as many as the rows allow. Rows left over are discarded.

    Differs: pfl-research has as many users as the rows allow and takes the rows of a class from the
    last to the first. Its code sets the last class's entry of q to 1 each time it has evened q out,
    a slip that the next evening out makes count. If 1,000 such steps were not enough, the rest
    comes from all that is left.
    """
    refuse_unlabelled("dirichlet_fixed", dataset)
    rows = len(dataset.train)
    most = rows // examples
    if not 1 <= (most if count is None else count) <= most:
        wanted = 1 if count is None else count
        raise ConfigError(
            f"partition.examples={examples} for clients.count={wanted} needs "
            f"{wanted * examples} training rows; data={dataset.name} has {rows}"
        )
    count = most if count is None else count
    classes, place = np.unique(dataset.train.y, return_inverse=True)
    rows_of = [draw.permutation(np.flatnonzero(place == c)) for c in range(len(classes))]
    left = np.array([len(mine) for mine in rows_of])
    owner = np.full(rows, -1)
    for client in range(count):
        for c, taken in enumerate(_taken(examples, left, alpha, draw)):
            owner[rows_of[c][left[c] - taken : left[c]]] = client
            left[c] -= taken
    return by_owner("dirichlet/client_by_client@1", dataset, owner, count)


def _taken(examples: int, left: Array, alpha: float, draw: np.random.Generator) -> Array:
    """int64 [classes]: rows of each class that a client of this size takes."""
    taken = np.zeros(len(left), np.int64)
    prior = share(len(left), alpha, draw)
    prior /= prior.sum()
    for draws in range(MOST_SPREADS * SPREAD_AFTER):
        if draws and draws % SPREAD_AFTER == 0:
            prior += SPREAD
            prior /= prior.sum()
        cumulative = np.cumsum(prior)
        drawn = np.searchsorted(cumulative / cumulative[-1], draw.random(examples), side="right")
        kept = drawn[ordinal(drawn, len(left)) < (left - taken)[drawn]][: examples - taken.sum()]
        taken += np.bincount(kept, minlength=len(left))
        if taken.sum() == examples:
            return taken
    rest = np.repeat(np.arange(len(left)), left - taken)
    more = draw.permutation(rest)[: examples - int(taken.sum())]
    return taken + np.bincount(more, minlength=len(left))
