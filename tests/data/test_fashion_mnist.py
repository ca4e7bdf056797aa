"""fashion_mnist: the published figures, where the real files are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data.fashion_mnist import fashion_mnist

REAL = Path(
    os.environ.get("FEDRUN_TEST_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)


@pytest.mark.skipif(not (REAL / "fashion_mnist").is_dir(), reason="the real files are not here")
def test_published_figures() -> None:
    data = fashion_mnist(root=str(REAL / "fashion_mnist"))
    assert np.bincount(data.train.y).tolist() == [6000] * 10
    assert np.bincount(data.test.y).tolist() == [1000] * 10
    assert data.train.y[:5].tolist() == [9, 0, 0, 3, 0]
    assert data.spec.classes[9] == "Ankle boot"
    assert data.train.x.mean(dtype=np.float64) == pytest.approx(0.2860, abs=5e-5)
    assert data.train.x.std(dtype=np.float64) == pytest.approx(0.3530, abs=5e-5)
    assert data.train.x[0].sum() * 255 == pytest.approx(76_247, abs=0.1)
    assert data.test.x[0].sum() * 255 == pytest.approx(33_456, abs=0.1)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train-images-idx3-ubyte .*data=fashion_mnist"):
        fashion_mnist(root=str(tmp_path))
