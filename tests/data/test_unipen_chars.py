"""unipen_chars: a small file by hand, and the facts of the real one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data.unipen_chars import unipen_chars

REAL = (
    Path(
        os.environ.get("FEDRUN_TEST_DATA")
        or Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
    / "unipen_chars"
)
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real file is not here")


def arrays() -> dict[str, Any]:
    """6 writers at 2 labs; five write all 62 characters twice, the last writes 3."""
    label = np.r_[np.tile(np.repeat(np.arange(62), 2), 5), [0, 10, 36]].astype(np.uint8)
    images = np.zeros((len(label), 28, 28), np.uint8)
    images[:, 0, 0] = label
    return {
        "images": images,
        "labels": label,
        "writer": np.r_[np.repeat(np.arange(5), 124), [5, 5, 5]].astype(np.int16),
        "writer_source": np.array([1, 0, 1, 0, 1, 0], np.int8),
        "source_codes": np.array(["aga", "val"]),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "unipen_chars.npz", **arrays())
    return tmp_path


def test_rows_of_every_writer_are_held_out(folder: Path) -> None:
    data = unipen_chars(root=str(folder))
    assert data.spec.input_shape == (1, 28, 28)
    assert len(data.spec.classes) == data.spec.outputs == 62
    # 124 of each of five writers: round(24.8) test, and one more for a class that had none; the
    # sixth has fewer than 10.
    test, train = np.bincount(data.test.client), np.bincount(data.train.client)
    assert len(test) == len(train) == 5
    assert (abs(test - 25) <= 2).all()
    assert (test + train == 124).all()
    assert np.unique(data.test.y).tolist() == list(range(62))
    assert (np.rint(data.train.x[:, 0, 0, 0] * 255) == data.train.y).all()
    assert (np.rint(data.test.x[:, 0, 0, 0] * 255) == data.test.y).all()
    assert data.client_names[:2] == ("writer_000", "writer_001")


def test_unseen_writers(folder: Path) -> None:
    data = unipen_chars(root=str(folder), split="unseen", test_fraction=0.4)
    train, test = set(data.train.client.tolist()), set(data.test.client.tolist())
    assert (len(train), len(test)) == (3, 2)
    assert train.isdisjoint(test)
    seeds = [unipen_chars(root=str(folder), split="unseen", split_seed=seed) for seed in range(9)]
    assert len({data.test.client[0] for data in seeds}) > 1


def test_digits_letters_and_labs(folder: Path) -> None:
    digits = unipen_chars(root=str(folder), characters="digits", client="lab", min_examples=1)
    assert digits.spec.classes == tuple("0123456789")
    assert digits.client_names == ("aga", "val")
    both = np.r_[digits.train.client, digits.test.client]
    assert np.bincount(both).tolist() == [41, 60]
    letters = unipen_chars(root=str(folder), characters="letters")
    assert "".join(letters.spec.classes).startswith("ABC")
    assert (np.rint(letters.train.x[:, 0, 0, 0] * 255) - 10 == letters.train.y).all()


def test_the_split_is_fixed(folder: Path) -> None:
    one, same, other = (unipen_chars(root=str(folder), split_seed=s).fingerprint for s in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, r"has no array 'labels'"),
        ({"labels": np.full(623, 62, np.uint8)}, r"labels must be 0 to 61"),
        ({"labels": np.zeros(5, np.uint8)}, r"623 images, 5 labels"),
        ({"labels": np.zeros(623)}, r"labels must have 1 dimensions .*float64"),
        ({"writer": np.full(623, 6)}, r"writer must be 0 to 5"),
        ({"images": np.zeros((623, 8, 8), np.uint8)}, r"28x28 bytes expected, \(8, 8\)"),
        ({"images": np.zeros((0, 28, 28), np.uint8)}, r"0 images"),
        ({"source_codes": np.array([{}])}, r"holds Python objects"),
    ],
)
def test_files_that_do_not_fit(folder: Path, change: dict[str, Any], message: str) -> None:
    content = {name: array for name, array in (arrays() | change).items() if array is not None}
    np.savez(folder / "unipen_chars.npz", **content)
    with pytest.raises(ConfigError, match=message):
        unipen_chars(root=str(folder))


def test_mistakes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs data.root=FOLDER with unipen_chars.npz\nGet it"):
        unipen_chars()
    with pytest.raises(ConfigError, match=r"data.min_examples=1000 leaves 0 writers"):
        unipen_chars(root=str(folder), min_examples=1000)
    path = folder / "unipen_chars.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"unipen_chars.npz is no readable npz"):
        unipen_chars(root=str(folder))
    path.unlink()
    with pytest.raises(ConfigError, match=r"has no file unipen_chars.npz, .* needs\nGet it from"):
        unipen_chars(root=str(folder))
    inner = folder / "unipen_chars"
    inner.mkdir()
    (inner / path.name).touch()
    with pytest.raises(ConfigError, match=rf"needs; did you mean data.root={inner}\?\nGet it"):
        unipen_chars(root=str(folder))


@pytest.mark.slow
@real
def test_real_file() -> None:
    data = unipen_chars(root=str(REAL), characters="digits", min_examples=1)
    assert len(data.train) + len(data.test) == 14_193
    counts = np.bincount(np.r_[data.train.y, data.test.y])
    assert counts.tolist() == [1403, 1564, 1478, 1443, 1452, 1371, 1338, 1379, 1392, 1373]
    assert len(np.unique(data.train.client)) == 246
    data = unipen_chars(root=str(REAL), min_examples=50)
    assert len(data.train) + len(data.test) == 84_457
    assert len(np.unique(data.train.client)) == len(np.unique(data.test.client)) == 249
    data = unipen_chars(root=str(REAL), client="lab")
    assert (len(data.train) + len(data.test), len(data.client_names)) == (85_903, 20)
    both = np.concatenate([data.train.x, data.test.x])
    assert both.mean(dtype=np.float64) == pytest.approx(0.1407, abs=5e-5)
