"""mnist: idx files made by hand, and the published figures where the real files are at hand."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.data import _known
from fedrun.data.fashion_mnist import fashion_mnist
from fedrun.data.mnist import mnist

REAL = Path(
    os.environ.get("FEDRUN_TEST_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)


def write(folder: Path, half: str, images: np.ndarray, labels: list[int]) -> None:
    image = struct.pack(">4I", 2051, *images.shape) + images.astype(np.uint8).tobytes()
    (folder / f"{half}-images-idx3-ubyte").write_bytes(image)
    label = struct.pack(">2I", 2049, len(labels)) + bytes(labels)
    (folder / f"{half}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(label, mtime=0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
    write(tmp_path, "train", pixels, [9, 0, 3])
    write(tmp_path, "t10k", pixels[:1], [7])
    return tmp_path


def test_small_files_gzip_or_not(folder: Path) -> None:
    data = mnist(root=str(folder))
    assert data.train.x.shape == (3, 1, 28, 28)
    assert data.train.x[0, 0, 0, 5] == np.float32(5 / 255)
    assert data.train.x.max() == 1
    assert (data.train.y.tolist(), data.test.y.tolist()) == ([9, 0, 3], [7])


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(ConfigError, match=rf"{folder} has no file t10k-images-idx3-ubyte \(or"):
        mnist(root=str(folder))


def test_files_in_the_subfolder_of_the_set_are_pointed_to(folder: Path) -> None:
    above = folder / "all"
    above.mkdir()
    with pytest.raises(ConfigError, match=r"t10k-labels-idx1-ubyte$"):
        mnist(root=str(above))
    (above / "mnist").symlink_to(folder)
    with pytest.raises(ConfigError, match=rf"; did you mean data.root={above / 'mnist'}\?$"):
        mnist(root=str(above))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 28, 28)), [1], "1 labels for 2 images"),
        (np.zeros((0, 28, 28)), [], "0 labels for 0 images"),
        (np.zeros((1, 8, 8)), [1], r"images of 28x28 expected, \(8, 8\) found"),
        (np.zeros((1, 28, 28)), [10], "label 10 found, at most 9"),
    ],
)
def test_files_that_do_not_fit(
    folder: Path, images: np.ndarray, labels: list[int], message: str
) -> None:
    write(folder, "train", images, labels)
    with pytest.raises(ConfigError, match=message):
        mnist(root=str(folder))


@pytest.mark.parametrize("half", ["train", "t10k"])
def test_files_of_another_set_are_refused(folder: Path, half: str, monkeypatch) -> None:
    packed = (folder / f"{half}-labels-idx1-ubyte.gz").read_bytes()
    digest = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    monkeypatch.setattr(_known, "LABELS", {digest: _known.FASHION_MNIST})
    assert len(fashion_mnist(root=str(folder)).train) == 3
    with pytest.raises(ConfigError) as error:
        mnist(root=str(folder))
    assert str(error.value) == (
        f"data=mnist: {folder} holds Fashion-MNIST's files ({half}-labels-idx1-ubyte.gz);"
        " take data=fashion_mnist"
    )


@pytest.mark.skipif(
    not all((REAL / name).is_dir() for name in ("mnist", "fashion_mnist")),
    reason="the real files are not here",
)
@pytest.mark.parametrize(
    ("read", "other", "title"),
    [(mnist, "fashion_mnist", "Fashion-MNIST"), (fashion_mnist, "mnist", "MNIST")],
)
def test_the_real_files_are_told_apart(read, other: str, title: str, tmp_path: Path) -> None:
    labels = [gzip.decompress(file.read_bytes()) for file in (REAL / other).glob("*-labels-*.gz")]
    digests = {hashlib.sha256(label).hexdigest() for label in labels}
    assert digests == {key for key, known in _known.LABELS.items() if known.data == other}
    with pytest.raises(ConfigError, match=f"holds {title}'s files .* take data={other}$"):
        read(root=str(REAL / other))
    for file in (REAL / other).glob("*-ubyte.gz"):  # and unpacked
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    with pytest.raises(ConfigError, match=f"holds {title}'s files .* take data={other}$"):
        read(root=str(tmp_path))


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="the real files are not here")
def test_published_figures() -> None:
    data = mnist(root=str(REAL / "mnist"))
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.train.y).tolist() == train
    assert np.bincount(data.test.y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.train.x.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert data.test.x.std(dtype=np.float64) == pytest.approx(0.3105, abs=5e-5)
    assert data.train.x[0].sum() * 255 == pytest.approx(27_525, abs=0.1)
    assert data.test.x[0].sum() * 255 == pytest.approx(18_454, abs=0.1)
