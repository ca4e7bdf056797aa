"""digits: all rows, scaled, stratified."""

from __future__ import annotations

import numpy as np

from fedrun.data.digits import digits


def test_rows_shape_and_scale() -> None:
    data = digits()
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert data.spec.input_shape == (1, 8, 8)
    assert data.spec.classes == tuple("0123456789")
    both = np.concatenate([data.train.x, data.test.x])
    assert (both.min(), both.max()) == (0, 1)
    # scikit-learn's pixels sum to 561,718 over all images.
    assert both.astype(np.float64).sum() * 16 == 561_718
    counts = np.bincount(np.concatenate([data.train.y, data.test.y]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_each_class_gives_a_fifth() -> None:
    data = digits()
    share = np.bincount(data.test.y) / np.bincount(np.concatenate([data.train.y, data.test.y]))
    assert np.abs(share - 0.2).max() < 0.006


def test_split_options() -> None:
    assert len(digits(test_fraction=0.5).test) == 899
    assert digits().fingerprint == digits(split_seed=0).fingerprint
    assert digits().fingerprint != digits(split_seed=1).fingerprint
