"""Z-scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fedrun.data._scale import fitted


def test_by_hand() -> None:
    # Mean 3; sd with N: sqrt((4 + 0 + 4) / 3), with N - 1: 2.
    train, test = np.array([[1.0], [3.0], [5.0]]), np.array([[7.0]])
    scale = fitted(train, ddof=1)
    assert scale(train).ravel().tolist() == [-1, 0, 1]
    assert scale(test).ravel().tolist() == [2]
    assert fitted(train)(test).item() == pytest.approx(4 / (8 / 3) ** 0.5)


def test_constant_column_is_zero_in_both_halves() -> None:
    train = np.full((10, 1), 0.1)
    scale = fitted(train)
    assert scale(train).tolist() == [[0.0]] * 10
    assert scale(np.array([[0.1], [5.0]])).tolist() == [[0.0], [0.0]]


def test_more_rows_than_a_block_and_any_shape() -> None:
    x = np.arange(5000 * 6, dtype=np.uint32).reshape(5000, 2, 3)
    train = fitted(x)(x)
    assert train.dtype == np.float32
    assert np.abs(train.mean(axis=0)).max() < 1e-6
    assert train.std(axis=0) == pytest.approx(1, abs=1e-5)
