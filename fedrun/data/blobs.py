"""Gaussian blobs: as many rows, features and classes as an experiment about speed needs.

The rule: `centre[k]` ~ N(0, I) for each class, in order; row i has class `i mod classes`;
`x[i] = centre[y[i]] + spread * N(0, I)`, all in float32 from one Philox stream of `seed`. Two
centres lie about `sqrt(2 * features)` apart, so with 128 features the classes begin to overlap at
`spread` 3.
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import Annotated, ConfigError, Count, at_least
from fedrun.core.preparation import Preparation
from fedrun.data._random import generator
from fedrun.data._split import OpenFraction, stratified


def blobs(
    *,
    examples: Count = 1000,
    features: Count = 128,
    classes: Annotated[int, at_least(2)] = 10,
    spread: Annotated[float, at_least(0)] = 1.0,
    seed: int = 0,
    test_fraction: OpenFraction = 0.2,
) -> Dataset:
    """Generated classes: x = centre[y] + spread * N(0, 1), centres ~ N(0, 1), y = row mod classes.

    examples: rows, training and test together (at least two per class).
    features: numbers per row (at least 1).
    classes: number of classes, all equally large (at least 2).
    spread: sd of the noise (at least 0; 0 puts every row on its centre).
    seed: draws centres, noise and split; apart from the run's seed.
    test_fraction: share of the rows held out as the test set (above 0 and below 1).
    """
    if examples < 2 * classes:
        raise ConfigError(
            f"data.examples={examples} is too few for data.classes={classes}: each class needs a"
            f" training and a test row, so at least {2 * classes}"
        )
    draw = generator(seed, "blobs")
    centre = draw.standard_normal((classes, features), dtype=np.float32)
    y = np.arange(examples, dtype=np.int64) % classes
    x = centre[y] + np.float32(spread) * draw.standard_normal(
        (examples, features), dtype=np.float32
    )
    train, test = stratified(y, test_fraction, seed)
    names = tuple(str(k) for k in range(classes))
    return Dataset(
        name="blobs",
        spec=Spec(input_shape=(features,), outputs=classes, kind="classes", classes=names),
        train=Split(x[train], y[train]),
        test=Split(x[test], y[test]),
        source=f"generated: Gaussian blobs, seed {seed}",
        prepared=Preparation("as generated"),
    )
