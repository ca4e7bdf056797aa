"""Fashion-MNIST (Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
machine learning algorithms", 2017; arXiv:1708.07747), the four original files."""

from __future__ import annotations

from fedrun.core.dataset import Dataset
from fedrun.data._classes import Classes, only_classes
from fedrun.data._download import Remote
from fedrun.data._images import images

MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
FILES = (
    Remote(
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    Remote(
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    Remote(
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    Remote(
        "t10k-labels-idx1-ubyte.gz",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_mnist(*, root: str | None = None, classes: Classes = None) -> Dataset:
    """60,000 + 10,000 pictures of clothes, 28x28 pixels, pixels over 255.

    root: folder with the four idx files, gzip or not; null keeps them in a per-user cache folder
        (FEDRUN_DATA moves it), downloaded and checked on first use.
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    return only_classes(
        images("fashion_mnist", root, FILES, MIRRORS, CLASSES, "MIT (Zalando SE)"), classes
    )
