"""EMNIST (Cohen, Afshar, Tapson and van Schaik, "EMNIST: extending MNIST to handwritten letters",
IJCNN 2017; arXiv:1702.05373), in the idx files of NIST's gzip.zip.

The files hold each picture with rows and columns exchanged; here it stands upright, as in MNIST.
The labels of `letters` begin at 1 in its files and at 0 here.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation, same
from fedrun.data._classes import Classes, only_classes
from fedrun.data._idx import read_idx

SIDE = 28
DIGITS, UPPER, LOWER = string.digits, string.ascii_uppercase, string.ascii_lowercase
# Of the lower-case letters these look unlike their capitals; the others are merged with them.
MERGED = DIGITS + UPPER + "abdefghnqrt"
CLASSES = {
    "byclass": DIGITS + UPPER + LOWER,
    "bymerge": MERGED,
    "balanced": MERGED,
    "letters": LOWER,
    "digits": DIGITS,
    "mnist": DIGITS,
}
WHERE = "gzip.zip of https://www.nist.gov/itl/products-and-services/emnist-dataset, unpacked"


def emnist(
    *,
    root: str | None = None,
    subset: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = "balanced",
    classes: Classes = None,
) -> Dataset:
    """Handwritten digits and letters of 28x28 pixels, six selections, pixels over 255.

    root: folder with the idx files emnist-SUBSET-..., gzip or not, or with NIST's folder `gzip`;
        nothing is downloaded, so never null.
    subset: byclass has 62 classes (814,255 pictures), bymerge and balanced 47 (814,255 and
        131,600), letters 26 (145,600; letter cases merged), digits and mnist 10 (280,000, 70,000).
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    if root is None:
        raise ConfigError(f"data=emnist needs data.root=FOLDER with its idx files: {WHERE}")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.root={root} is no folder; it must hold the idx files: {WHERE}")
    names = CLASSES[subset]
    first = 1 if subset == "letters" else 0
    whole = Dataset(
        name="emnist",
        spec=Spec((1, SIDE, SIDE), len(names), "classes", tuple(names)),
        train=_half(folder, subset, "train", first, len(names)),
        test=_half(folder, subset, "test", first, len(names)),
        source=f"EMNIST, idx files of {subset}",
        prepared=Preparation(
            "bytes of pixels over 255, light ink on 0, rows and columns of NIST's files exchanged",
            same(["grey"], 255),
        ),
    )
    return only_classes(whole, classes)


def _half(folder: Path, subset: str, half: str, first: int, classes: int) -> Split:
    image_path = _found(folder, subset, f"emnist-{subset}-{half}-images-idx3-ubyte")
    label_path = _found(folder, subset, f"emnist-{subset}-{half}-labels-idx1-ubyte")
    pixels, label = read_idx(image_path, dimensions=3), read_idx(label_path, dimensions=1)
    if pixels.shape[1:] != (SIDE, SIDE):
        raise ConfigError(f"{image_path}: images of 28x28 expected, {pixels.shape[1:]} found")
    if len(pixels) != len(label) or not len(label):
        raise ConfigError(f"{label_path}: {len(label)} labels for {len(pixels)} images")
    last = first + classes - 1
    if label.min() < first or label.max() > last:
        odd = int(label.max() if label.max() > last else label.min())
        raise ConfigError(f"{label_path}: label {odd} found, {first} to {last} expected")
    x = np.ascontiguousarray(pixels.transpose(0, 2, 1))[:, None].astype(np.float32)
    x /= 255
    return Split(x, label.astype(np.int64) - first)


def _found(folder: Path, subset: str, name: str) -> Path:
    for place in (folder, folder / "gzip"):
        for path in (place / name, place / f"{name}.gz"):
            if path.is_file():
                return path
    raise ConfigError(
        f"data.root={folder} has no file {name} (or {name}.gz), which data.subset={subset} needs:"
        f" {WHERE}"
    )
