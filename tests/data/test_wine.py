"""wine: three classes, z-scored by the training rows."""

from __future__ import annotations

import numpy as np

from fedrun.data.wine import wine


def test_rows_and_scale() -> None:
    data = wine()
    assert (len(data.train), len(data.test)) == (142, 36)
    assert (data.spec.kind, data.spec.outputs, data.spec.input_shape) == ("classes", 3, (13,))
    assert np.bincount(np.concatenate([data.train.y, data.test.y])).tolist() == [59, 71, 48]
    assert np.abs(data.train.x.mean(axis=0)).max() < 1e-6
