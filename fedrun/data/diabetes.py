"""Diabetes progression (Efron, Hastie, Johnstone and Tibshirani 2004), inside scikit-learn."""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.preparation import Feature, Preparation
from fedrun.data._bundled import bundled_numbers, bundled_source
from fedrun.data._scale import SCORED, fitted
from fedrun.data._split import OpenFraction, stratified

COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
TARGET = "progression after a year"


def diabetes(
    *,
    standardize_target: bool = True,
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """442 patients, 10 z-scored measurements, disease progression after a year (a number).

    standardize_target: z-score the target too, with the training rows' mean and sd; false keeps its
        own units (25 to 346).
    test_fraction: share of the rows held out as the test set (above 0 and below 1).
    split_seed: draws which rows these are; apart from the run's seed.
    """
    x = bundled_numbers("diabetes_data_raw.csv.gz")
    y = bundled_numbers("diabetes_target.csv.gz")
    train, test = stratified(np.zeros(len(y), np.int64), test_fraction, split_seed)
    scale = fitted(x[train])
    target = y.reshape(-1, 1)
    y_train, y_test = target[train].astype(np.float32), target[test].astype(np.float32)
    unit = Feature(TARGET)
    if standardize_target:
        own = fitted(target[train])
        y_train, y_test, (unit,) = own(target[train]), own(target[test]), own.features([TARGET])
    return Dataset(
        name="diabetes",
        spec=Spec(input_shape=(10,), outputs=1, kind="number"),
        train=Split(scale(x[train]), y_train),
        test=Split(scale(x[test]), y_test),
        source=bundled_source("diabetes"),
        prepared=Preparation(SCORED, scale.features(COLUMNS), unit),
    )
