"""Z-scores with the training rows' figures, so that nothing of the test rows leaks."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array

BLOCK_ROWS = 4096


def standardize(train: Array, test: Array, *, ddof: int = 0) -> tuple[Array, Array]:
    """float32 (train, test), each column less the training mean, over the training sd.

    ddof: 0 divides by N, 1 by N - 1. A column of one value in the training rows becomes 0 in both.
    """
    mean = train.mean(axis=0, dtype=np.float64)
    # Asked of the values themselves: rounding can make the sd of equal numbers 1e-17 and not 0.
    constant = train.max(axis=0) == train.min(axis=0)
    deviation = np.where(constant, np.inf, train.std(axis=0, ddof=ddof, dtype=np.float64))
    return _scaled(train, mean, deviation), _scaled(test, mean, deviation)


def _scaled(x: Array, mean: Array, deviation: Array) -> Array:
    """Block by block: a large set is never held in float64 as a whole."""
    scaled = np.empty(x.shape, np.float32)
    for start in range(0, len(x), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        scaled[block] = (x[block] - mean) / deviation
    return scaled
