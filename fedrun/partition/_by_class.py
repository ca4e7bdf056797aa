"""Each class divided among the clients by a Dirichlet draw, until all have enough."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset
from fedrun.core.option import ConfigError
from fedrun.partition._dirichlet import cut, log_share, to_share

MOST_DRAWS = 1000
# About half a second of draws before giving up, as a count and not a clock, so that every machine
# agrees on what is refused. The unit is one gamma variate; a class costs its calls besides, and ten
# rows about as much as one variate.
MOST_WORK = 15_000_000
WORK_OF_A_CLASS = 500


def divided(
    choice: str,
    dataset: Dataset,
    count: int,
    draw: np.random.Generator,
    alpha: float,
    min_examples: int,
    *,
    capped: bool = False,
) -> Array:
    """int64 [rows]: the owner of each training row.

    capped: a client that holds its even share of all rows gets nothing of the classes that follow.
    """
    rows, label = len(dataset.train), dataset.train.y
    if count * min_examples > rows:
        raise ConfigError(
            f"partition.min_examples={min_examples} for clients.count={count} needs "
            f"{count * min_examples} training rows; data={dataset.name} has {rows}"
        )
    classes, class_sizes = np.unique(label, return_counts=True)
    most = rows / count if capped else np.inf
    owners_by_class = _accepted(choice, class_sizes, count, draw, alpha, min_examples, most)
    owner = np.empty(rows, np.int64)
    for c, owners in zip(classes, owners_by_class, strict=True):
        owner[draw.permutation(np.flatnonzero(label == c))] = owners
    return owner


def _accepted(
    choice: str,
    class_sizes: Array,
    count: int,
    draw: np.random.Generator,
    alpha: float,
    min_examples: int,
    most: float,
) -> list[Array]:
    """Owners of the rows of each class, ascending: the first draw that leaves nobody too small."""
    work = len(class_sizes) * (count + WORK_OF_A_CLASS) + int(class_sizes.sum()) // 10
    num_draws = min(MOST_DRAWS, max(1, MOST_WORK // work))
    client, best = np.arange(count), 0
    for _ in range(num_draws):
        sizes, owners_by_class = np.zeros(count, np.int64), []
        for size in class_sizes:
            power = log_share(count, alpha, draw)
            if most < np.inf:
                power[sizes >= most] = -np.inf
            held = cut(int(size), to_share(power, alpha))
            owners_by_class.append(np.repeat(client, held))
            sizes += held
        if sizes.min() >= min_examples:
            return owners_by_class
        best = max(best, int(sizes.min()))
    mends = [f"a larger partition.alpha (now {alpha:g})", f"fewer clients (now {count})"]
    raise too_small(choice, num_draws, best, min_examples, mends)


def too_small(
    choice: str, num_draws: int, best: int, min_examples: int, mends: list[str]
) -> ConfigError:
    """The refusal where no draw gave the smallest client enough; `best` is the most it had."""
    *first, last = [*mends, "a smaller partition.min_examples"] if best else mends
    draws, rows = f"draw{'s' * (num_draws != 1)}", f"row{'s' * (best != 1)}"
    return ConfigError(
        f"partition={choice}: in {num_draws} {draws} the smallest client never had more than "
        f"{best} {rows}, and partition.min_examples asks for {min_examples}; "
        f"take {', '.join(first)} or {last}"
    )
