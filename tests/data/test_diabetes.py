"""diabetes: a number as the target, in sds or in its own units."""

from __future__ import annotations

import numpy as np
import pytest

from fedrun.data.diabetes import diabetes


def test_standardized_target() -> None:
    data = diabetes()
    assert (len(data.train), len(data.test)) == (354, 88)
    assert (data.spec.kind, data.spec.outputs) == ("number", 1)
    assert data.train.y.mean() == pytest.approx(0, abs=1e-6)
    assert data.train.y.std() == pytest.approx(1, abs=1e-6)
    assert np.abs(data.train.x.mean(axis=0)).max() < 1e-6


def test_target_in_its_own_units() -> None:
    data = diabetes(standardize_target=False)
    y = np.concatenate([data.train.y, data.test.y])
    assert (y.min(), y.max()) == (25, 346)
    assert y.mean() == pytest.approx(152.1335, abs=1e-3)
