"""MNIST (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 1998), the four original files."""

from __future__ import annotations

from fedrun.core.dataset import Dataset
from fedrun.data._classes import Classes, only_classes
from fedrun.data._download import Remote
from fedrun.data._images import images

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = (
    Remote(
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    Remote(
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    Remote(
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    Remote(
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)


def mnist(*, root: str | None = None, classes: Classes = None) -> Dataset:
    """60,000 + 10,000 handwritten digits of 28x28 pixels, pixels over 255.

    root: folder with the four idx files, gzip or not; null keeps them in a per-user cache folder
        (FEDRUN_DATA moves it), downloaded and checked on first use.
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    names = tuple(str(digit) for digit in range(10))
    return only_classes(
        images("mnist", root, FILES, MIRRORS, names, "CC BY-SA 3.0, as usually stated"), classes
    )
