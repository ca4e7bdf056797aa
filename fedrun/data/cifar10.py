"""CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009)."""

from __future__ import annotations

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.data._cifar import MIRRORS, SHAPE, Layout, read_cifar
from fedrun.data._classes import Classes, only_classes
from fedrun.data._download import Remote
from fedrun.data._pixel import Normalize, scale_pixels

LAYOUT = Layout(
    name="cifar10",
    archive=Remote(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    folders=("cifar-10-batches-bin", "cifar-10-batches-py"),
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    labels={"labels": 10},
)
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def cifar10(
    *, root: str | None = None, normalize: Normalize = "none", classes: Classes = None
) -> Dataset:
    """50,000 + 10,000 colour photographs of 32x32 pixels, 10 classes, pixels over 255.

    root: folder with the binary or the Python batches, or with either .tar.gz archive, or that
        archive; null keeps the binary one in a per-user cache folder (FEDRUN_DATA moves it),
        downloaded and checked on first use.
    normalize: train also z-scores each channel by the training pictures; none leaves 0 to 1.
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    train, test = read_cifar(LAYOUT, root)
    x_train, x_test, prepared = scale_pixels(train.pixels, test.pixels, normalize)
    whole = Dataset(
        name="cifar10",
        spec=Spec(SHAPE, len(CLASSES), "classes", CLASSES),
        train=Split(x_train, train.labels["labels"]),
        test=Split(x_test, test.labels["labels"]),
        source="CIFAR-10 batches" + ("" if root else f", {MIRRORS[0]}{LAYOUT.archive.name}"),
        prepared=prepared,
    )
    return only_classes(whole, classes)
