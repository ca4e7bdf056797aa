"""blobs: the rule of the docstring."""

from __future__ import annotations

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data.blobs import blobs


def test_no_spread_puts_rows_on_their_centres() -> None:
    data = blobs(examples=40, features=5, classes=4, spread=0.0)
    for k in range(4):
        rows = np.concatenate([data.train.x[data.train.y == k], data.test.x[data.test.y == k]])
        assert len(rows) == 10
        assert (rows == rows[0]).all()


def test_spread_is_the_sd_around_the_centre() -> None:
    data = blobs(examples=4000, features=50, classes=2, spread=3.0)
    rows = data.train.x[data.train.y == 1]
    assert (rows - rows.mean(axis=0)).std() == pytest.approx(3, rel=0.01)
    assert (len(data.train), len(data.test)) == (3200, 800)


def test_seed_and_size() -> None:
    assert blobs().fingerprint == blobs(seed=0).fingerprint != blobs(seed=1).fingerprint
    with pytest.raises(ConfigError, match=r"data.examples=19 .*data.classes=10.*at least 20"):
        blobs(examples=19)
