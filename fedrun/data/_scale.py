"""Z-scores with the training rows' figures, so that nothing of the test rows leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.preparation import Feature

BLOCK_ROWS = 4096
SCORED = "z-scored by the training rows"


@dataclass(frozen=True)
class Scale:
    """x less the mean, over the deviation, as float32; figures are float64, one a column. The
    deviation of a column of one value is infinite: it becomes 0."""

    mean: Array
    deviation: Array

    def __call__(self, x: Array) -> Array:
        """Block by block: a large set is never held in float64 as a whole."""
        scaled = np.empty(x.shape, np.float32)
        for start in range(0, len(x), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            scaled[block] = (x[block] - self.mean) / self.deviation
        return scaled

    def features(self, names: Sequence[str], missing: float | None = None) -> tuple[Feature, ...]:
        """The same as facts; names: of the columns."""
        figures = zip(names, self.mean.ravel(), self.deviation.ravel(), strict=True)
        return tuple(
            Feature(name, float(mean), float(sd) if isfinite(sd) else None, missing=missing)
            for name, mean, sd in figures
        )


def fitted(train: Array, *, ddof: int = 0) -> Scale:
    """ddof: 0 divides by N, 1 by N - 1."""
    mean = train.mean(axis=0, dtype=np.float64)
    # Asked of the values themselves: rounding can make the sd of equal numbers 1e-17 and not 0.
    constant = train.max(axis=0) == train.min(axis=0)
    return Scale(mean, np.where(constant, np.inf, train.std(axis=0, ddof=ddof, dtype=np.float64)))
