"""A fixed stratified split for data that come without an official test set."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import Annotated, between
from fedrun.data._random import generator

OpenFraction = Annotated[float, between(0, 1, open_low=True, open_high=True)]


def stratified(
    label: Array, test_fraction: float, seed: int, owner: Array | None = None
) -> tuple[Array, Array]:
    """Sorted row numbers (train, test); every label is in both, so each needs two rows.

    label: int64 [N], what to stratify by (zeros where there is nothing).
    owner: int64 [N], the client of each row; the split is then made within each client.

    Each owner gives `round(test_fraction * rows)` rows to the test set, shared out to its labels by
    largest remainders (ties at random). A label that ended up on one side only then moves one row.
    """
    draw = generator(seed, "split")
    owner = np.zeros(len(label), np.int64) if owner is None else owner
    is_test = np.zeros(len(label), bool)
    by_owner = np.argsort(owner, kind="stable")
    for rows in np.split(by_owner, np.flatnonzero(np.diff(owner[by_owner])) + 1):
        is_test[_choose(rows, label[rows], test_fraction, draw)] = True
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        assert len(rows) >= 2, f"label {value} has one row"
        if is_test[rows].all() or not is_test[rows].any():
            row = rows[draw.integers(len(rows))]
            is_test[row] = not is_test[row]
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _choose(rows: Array, label: Array, fraction: float, draw: np.random.Generator) -> Array:
    """The test rows among one owner's rows."""
    order = draw.permutation(len(rows))
    by_label = order[np.argsort(label[order], kind="stable")]
    cells = np.split(by_label, np.flatnonzero(np.diff(label[by_label])) + 1)
    takes = largest_remainders(np.array([len(cell) for cell in cells]), fraction, draw)
    return rows[np.concatenate([cell[:take] for cell, take in zip(cells, takes, strict=True)])]


def largest_remainders(sizes: Array, fraction: float, draw: np.random.Generator) -> Array:
    """int64 [cells]: about `fraction` of each size, `round(fraction * sum)` in all (half: up)."""
    quota = sizes * fraction
    take = np.floor(quota).astype(np.int64)
    left = int(np.floor(fraction * sizes.sum() + 0.5)) - int(take.sum())
    order = np.lexsort((draw.random(len(sizes)), -(quota - take)))
    take[order[:left]] += 1
    return take
