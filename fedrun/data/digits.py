"""Optical recognition of handwritten digits (Alpaydin and Kaynak 1998), UCI test part.

1,797 images of 8x8 pixels with values 0 to 16; they ship inside scikit-learn.
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.preparation import Preparation, same
from fedrun.data._bundled import bundled_rows, bundled_source
from fedrun.data._split import OpenFraction, stratified


def digits(*, test_fraction: OpenFraction = 0.2, split_seed: int = 0) -> Dataset:
    """1,797 handwritten digits of 8x8 pixels from scikit-learn; needs no file.

    test_fraction: share of the rows held out as the test set (above 0 and below 1).
    split_seed: draws which rows these are; stratified by digit and apart from the run's seed.
    """
    pixels, y = bundled_rows("digits.csv.gz", delimiter=",")
    x = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    train, test = stratified(y, test_fraction, split_seed)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset(
        name="digits",
        spec=Spec(input_shape=(1, 8, 8), outputs=10, kind="classes", classes=classes),
        train=Split(x[train], y[train]),
        test=Split(x[test], y[test]),
        source=bundled_source("digits"),
        licence="CC BY 4.0 (UCI)",
        prepared=Preparation("ink of 0 to 16 a pixel, over 16", same(["grey"], 16)),
    )
