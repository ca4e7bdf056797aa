"""Label skew by one Dirichlet draw per class.

Yurochkin et al., "Bayesian nonparametric federated learning of neural networks", ICML 2019, made
this split popular; FL-bench, Flower (`DirichletPartitioner` without `self_balancing`) and
FederatedScope's `lda` draw it as it is done here.

| paper | here | meaning |
| --- | --- | --- |
| J, N | count | clients |
| K | classes | labels that occur in the training rows |
| p_k ~ Dir_N(alpha) | share | how class k is divided among the clients |
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError, Count, above
from fedrun.core.partition import Partition
from fedrun.partition._owner import by_owner, checked_count

MOST_DRAWS = 1000
# About half a second of draws before giving up, as a count and not a clock, so that every machine
# agrees on what is refused. The unit is one gamma variate; a class costs its calls besides, and ten
# rows about as much as one variate.
MOST_WORK = 15_000_000
WORK_OF_A_CLASS = 500


def dirichlet(
    dataset: Dataset,
    count: int | None,
    draw: np.random.Generator,
    *,
    alpha: Annotated[float, above(0)] = 0.5,
    min_examples: Count = 1,
) -> Partition:
    """Divide each class among the clients in proportions drawn from a Dirichlet distribution.

    alpha: evenness of each class (above 0; papers 0.1 to 1; large is even, near 0 is one owner)
    min_examples: redraw until the smallest client has this many rows (at least 1; FL-bench 10)

    Rule `dirichlet/per_class@1`: for each class k draw p ~ Dir_N(alpha, ..., alpha), shuffle the
    rows of the class and cut them at floor(cumsum(p) * rows of the class), the last cut being the
    end. If a client ends up with fewer than `min_examples` rows, draw all classes again, at most
    1,000 times and for many clients less often.

    Differs: "Dirichlet 0.1" names five splits. This is the plain one. Not meant here are:
    (1) the same with a cap, where a client that holds its even share gets nothing of the classes
    that follow (NIID-Bench, FedMA, FedLab `hetero-dir`, Flower `self_balancing`); (2) a Dirichlet
    over classes for each client of a size fixed before, filled row by row (FedDyn, FedLab
    `balance-dir`, Flower `InnerDirichlet`); (3) clients built one after another, the rows left
    over being discarded (pfl-research); (4) a Dirichlet over classes for each client, rows sampled
    independently so that clients overlap (Plato).
    """
    count = checked_count("dirichlet", dataset, count)
    if not dataset.spec.labelled:
        natural = " or partition=natural" if dataset.train.client is not None else ""
        targets = "numbers" if dataset.spec.kind == "number" else "sequences of tokens"
        raise ConfigError(
            f"partition=dirichlet divides classes, and data={dataset.name} has {targets} as "
            f"targets; take partition=iid{natural}"
        )
    rows = len(dataset.train)
    if count * min_examples > rows:
        raise ConfigError(
            f"partition.min_examples={min_examples} for clients.count={count} needs "
            f"{count * min_examples} training rows; data={dataset.name} has {rows}"
        )
    label = dataset.train.y
    classes, class_sizes = np.unique(label, return_counts=True)
    owners_by_class = _accepted(class_sizes, count, draw, alpha, min_examples)
    owner = np.empty(rows, np.int64)
    for c, owners in zip(classes, owners_by_class, strict=True):
        owner[draw.permutation(np.flatnonzero(label == c))] = owners
    return by_owner("dirichlet/per_class@1", dataset, owner, count)


def _accepted(
    class_sizes: Array, count: int, draw: np.random.Generator, alpha: float, min_examples: int
) -> list[Array]:
    """Owners of the rows of each class, ascending: the first draw that leaves nobody too small."""
    work = len(class_sizes) * (count + WORK_OF_A_CLASS) + int(class_sizes.sum()) // 10
    num_draws = min(MOST_DRAWS, max(1, MOST_WORK // work))
    client, best = np.arange(count), 0
    for _ in range(num_draws):
        sizes, owners_by_class = np.zeros(count, np.int64), []
        for size in class_sizes:
            held = _cut(int(size), _share(count, alpha, draw))
            owners_by_class.append(np.repeat(client, held))
            sizes += held
        if sizes.min() >= min_examples:
            return owners_by_class
        best = max(best, int(sizes.min()))
    less = f" or a smaller min_examples (at best {best} was seen)" if best else ""
    times = "1 draw" if num_draws == 1 else f"{num_draws} draws"
    raise ConfigError(
        f"partition=dirichlet: in {times} the smallest client never had more than {best} rows; "
        f"partition.min_examples={min_examples}\n"
        f"take a partition.alpha larger than {alpha:g}, fewer clients than {count}{less}"
    )


def _share(count: int, alpha: float, draw: np.random.Generator) -> Array:
    """One draw from the symmetric Dirichlet distribution, float64 [count], not normalised.

    With G ~ Gamma(alpha + 1) and U uniform, G * U**(1 / alpha) is Gamma(alpha). In logarithms and
    relative to the largest, so that an alpha near 0 gives one owner and not 0 / 0.
    """
    alpha = min(alpha, 1e300)
    # A standard exponential is -log(U), and never infinite.
    power = alpha * np.log(draw.standard_gamma(alpha + 1, count)) - draw.standard_exponential(count)
    with np.errstate(over="ignore"):
        share: Array = np.exp((power - power.max()) / alpha)
    return share


def _cut(size: int, share: Array) -> Array:
    """Rows of one class for each client: the class cut at its cumulative shares, rounded down."""
    cumulative = np.cumsum(share)
    cuts = np.floor(cumulative / cumulative[-1] * size).astype(np.int64)
    return np.diff(cuts, prepend=0)
