"""FEMNIST: EMNIST by writer (Caldas et al., "LEAF: a benchmark for federated settings", 2018;
arXiv:1812.01097), in the JSON files that LEAF's scripts write.

Pixels are as LEAF writes them, from 0 to 1 with dark ink on a white (1) ground, unlike MNIST's.
"""

from __future__ import annotations

import string

import numpy as np

from fedrun.core.dataset import Dataset
from fedrun.core.option import ConfigError
from fedrun.data._classes import Classes, only_classes
from fedrun.data._leaf import Rows, read_leaf
from fedrun.data._leaf_set import leaf_set
from fedrun.data._split import OpenFraction

SIDE = 28
CLASSES = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
DIGITS = 10


def femnist(
    *,
    root: str | None = None,
    digits_only: bool = False,
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
    classes: Classes = None,
) -> Dataset:
    """Handwritten digits and letters of 28x28 pixels, 62 classes; a writer is a client.

    root: folder with LEAF's train/*.json and test/*.json, or with *.json to be split; never null.
    digits_only: keep the ten digits alone; a writer of none is left out.
    test_fraction: share of each writer's rows held out where there is no test half (above 0, below
        1).
    split_seed: draws which rows these are; stratified by class and apart from the run's seed.
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    halves = read_leaf("femnist", root)
    names = CLASSES[:DIGITS] if digits_only else CLASSES
    kept = [None if half is None else _checked(half, digits_only) for half in halves]
    whole = leaf_set(
        "femnist",
        kept[0],
        kept[1],
        classes=names,
        task="classes",
        shape=(1, SIDE, SIDE),
        test_fraction=test_fraction,
        split_seed=split_seed,
        source=f"LEAF's FEMNIST, JSON files of {root}" + (", digits only" if digits_only else ""),
    )
    return only_classes(whole, classes)


def _checked(half: Rows, digits_only: bool) -> Rows:
    numbers = int(np.prod(half.x.shape[1:]))
    if numbers != SIDE * SIDE:
        raise ConfigError(f"data=femnist: pictures of 784 pixels expected, {numbers} numbers found")
    if half.x.min() < 0 or half.x.max() > 1:
        raise ConfigError(
            f"data=femnist: pixels from 0 to 1 expected, {half.x.min():g} to {half.x.max():g} found"
        )
    if not digits_only or half.y.dtype.kind not in "iuf" or half.y.ndim != 1:
        return half
    digits = half.y < DIGITS
    if not digits.any():
        raise ConfigError("data.digits_only=true leaves no row: the files hold letters only")
    return half.keep(digits)
