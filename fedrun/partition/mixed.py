"""Label skew and quantity skew at once: few classes per client and uneven sizes.

Li et al., "Federated learning on non-IID data silos: an experimental study", ICDE 2022, name the
mixture of both; its parts are their `#C=k` and `iid-diff-quantity`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError, Count, above, at_least
from fedrun.core.partition import Partition
from fedrun.partition._by_class import MOST_DRAWS, MOST_WORK, too_small
from fedrun.partition._class_sets import (
    by_owners,
    class_sets,
    refuse_thin_classes,
    refuse_unowned_classes,
)
from fedrun.partition._dirichlet import cut, share
from fedrun.partition._owner import by_owner, checked_count, refuse_unlabelled
from fedrun.partition._size import log_normal


def mixed(
    dataset: Dataset,
    count: int | None,
    draw: np.random.Generator,
    *,
    classes_per_client: Count = 2,
    alpha: Annotated[float, above(0)] | None = 0.5,
    sigma: Annotated[float, at_least(0)] | None = None,
    min_examples: Count = 10,
) -> Partition:
    """Give each client a few classes and a weight, and share each class by its owners' weights.

    classes_per_client: classes of a client (at least 1; all of them leave quantity skew alone)
    alpha: Dirichlet weights, large is even (above 0; NIID-Bench 0.5; null with sigma)
    sigma: log-normal weights in place of alpha, 0 is even (at least 0; null with alpha)
    min_examples: redraw the weights until the smallest client has this many rows (at least 1)

    Rule `mixed/classes_dirichlet@1` or `mixed/classes_lognormal@1`: classes are owned as in
    `classes/niid@1`. Draw one weight per client, w ~ Dir_N(alpha, ..., alpha) or w = exp(sigma z);
    each class is shuffled and cut at the cumulative weights of its owners, rounded down. If a
    client has fewer than `min_examples` rows, draw all weights again, at most 1,000 times.

    Differs: NIID-Bench's own `mixed` needs as many parties as classes, gives each class to exactly
    two of them and cuts each class at a Dirichlet draw of its own.
    """
    count = checked_count("mixed", dataset, count)
    refuse_unlabelled("mixed", dataset)
    if (alpha is None) == (sigma is None):
        raise ConfigError(
            "partition=mixed takes either partition.alpha or partition.sigma; set the other to null"
        )
    owned = class_sets("niid", dataset, count, classes_per_client, draw)
    refuse_unowned_classes(dataset, owned)
    refuse_thin_classes(dataset, owned)
    rows = len(dataset.train)
    if count * min_examples > rows:
        raise ConfigError(
            f"partition.min_examples={min_examples} for clients.count={count} needs "
            f"{count * min_examples} training rows; data={dataset.name} has {rows}"
        )
    sizes_by_class = _accepted(dataset, owned, alpha, sigma, min_examples, draw)
    owner = by_owners(dataset, owned, lambda c, owners, rows: sizes_by_class[c][owners], draw)
    kind = "dirichlet" if sigma is None else "lognormal"
    return by_owner(f"mixed/classes_{kind}@1", dataset, owner, count)


def _accepted(
    dataset: Dataset,
    owned: Array,
    alpha: float | None,
    sigma: float | None,
    min_examples: int,
    draw: np.random.Generator,
) -> Array:
    """int64 [classes, clients]: the first draw of weights that leaves nobody too small."""
    count, classes = owned.shape
    class_sizes = np.unique(dataset.train.y, return_counts=True)[1]
    num_draws, best = min(MOST_DRAWS, max(1, MOST_WORK // owned.size)), 0
    for _ in range(num_draws):
        weight = share(count, alpha, draw) if alpha else log_normal(count, sigma or 0.0, draw)
        weight_KC = np.where(owned.T, np.maximum(weight, 1e-300), 0)
        held = np.stack([cut(int(class_sizes[c]), weight_KC[c]) for c in range(classes)])
        least = int(held.sum(axis=0).min())
        if least >= min_examples:
            return held
        best = max(best, least)
    if alpha:
        mend = f"a larger partition.alpha (now {alpha:g})"
    else:
        mend = f"a smaller partition.sigma (now {sigma or 0:g})"
    mends = [mend, f"fewer clients (now {count})"]
    raise too_small("mixed", num_draws, best, min_examples, mends)
