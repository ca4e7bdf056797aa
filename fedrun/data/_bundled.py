"""Data sets that lie inside scikit-learn: no file, no network."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.data._scale import standardize
from fedrun.data._split import stratified


def bundled_table(
    name: str,
    x: Array,
    y: Array,
    *,
    classes: tuple[str, ...],
    test_fraction: float,
    split_seed: int,
) -> Dataset:
    """A classification table: stratified split, features z-scored by the training rows."""
    train, test = stratified(y, test_fraction, split_seed)
    x_train, x_test = standardize(x[train], x[test])
    binary = len(classes) == 2
    spec = Spec(
        input_shape=x.shape[1:],
        outputs=1 if binary else len(classes),
        kind="binary" if binary else "classes",
        classes=classes,
    )
    labels = y.astype(np.int64)
    return Dataset(
        name=name,
        spec=spec,
        train=Split(x_train, labels[train]),
        test=Split(x_test, labels[test]),
        source=bundled_source(name),
    )


def bundled_source(name: str) -> str:
    import sklearn

    return f"scikit-learn {sklearn.__version__}, sklearn.datasets.load_{name}"
