"""breast_cancer: two classes, z-scored by the training rows."""

from __future__ import annotations

import numpy as np

from fedrun.data.breast_cancer import breast_cancer


def test_rows_and_scale() -> None:
    data = breast_cancer()
    assert (len(data.train), len(data.test)) == (455, 114)
    assert (data.spec.kind, data.spec.outputs) == ("binary", 1)
    assert data.spec.classes == ("malignant", "benign")
    assert np.bincount(np.concatenate([data.train.y, data.test.y])).tolist() == [212, 357]
    assert np.abs(data.train.x.mean(axis=0)).max() < 1e-6
    assert np.abs(data.train.x.std(axis=0) - 1).max() < 1e-5
    assert np.abs(data.test.x.mean(axis=0)).max() > 1e-3
