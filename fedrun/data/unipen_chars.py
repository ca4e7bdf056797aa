"""UNIPEN characters (Guyon, Schomaker, Plamondon, Liberman and Janet, "UNIPEN project of on-line
data exchange and recognizer benchmarks", ICPR 1994), train_r01_v07, with the writer of each.

unipen_chars.npz holds the pen strokes drawn as 28x28 images: `images` uint8 [N, 28, 28], `labels`
0-61 (0-9, A-Z, a-z, as in LEAF), `writer` [N], `writer_source` [writers], a lab's position in
`source_codes`. Writers and labs are natural clients, as in FEMNIST; labs differ in pen and device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.option import ConfigError, Count
from fedrun.core.preparation import Preparation, same
from fedrun.data._classes import Classes, only_classes
from fedrun.data._given import given_file
from fedrun.data._npz import expect_arrays, load_npz
from fedrun.data._random import generator
from fedrun.data._split import OpenFraction, stratified

SIDE = 28
CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# first and last label
RANGES = {"all": (0, 61), "digits": (0, 9), "letters": (10, 61)}
ORIGIN = (
    "the pen strokes of UNIPEN train_r01_v07 (Zenodo record 1195803, CC BY 4.0), drawn as"
    " fedrun/data/unipen_chars.py says"
)


def unipen_chars(
    *,
    root: str | None = None,
    characters: Literal["all", "digits", "letters"] = "all",
    client: Literal["writer", "lab"] = "writer",
    min_examples: Count = 10,
    split: Literal["within", "unseen"] = "within",
    test_fraction: OpenFraction = 0.2,
    split_seed: int = 0,
    classes: Classes = None,
) -> Dataset:
    """85,903 handwritten digits and letters of 294 writers, 28x28 pixels over 255.

    root: folder with unipen_chars.npz; never null.
    characters: all 62 classes, digits 10 (14,193 by 246 writers), letters 52.
    client: the natural owner of a row: writer, or lab (20 of them).
    min_examples: writers with fewer of these characters are left out (at least 1).
    split: within holds out rows of every writer, unseen holds out whole writers.
    test_fraction: share of each writer's rows, or of the writers (above 0 and below 1).
    split_seed: draws which these are; apart from the run's seed.
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    arrays = _arrays(given_file("unipen_chars", root, "unipen_chars.npz", ORIGIN))
    first, last = RANGES[characters]
    label, writer = arrays["labels"].astype(np.int64), arrays["writer"].astype(np.int64)
    kept = (label >= first) & (label <= last)
    many = np.bincount(writer[kept], minlength=len(arrays["writer_source"])) >= min_examples
    rows = np.flatnonzero(kept & many[writer])
    y, writer = label[rows] - first, writer[rows]
    count = last - first + 1
    if len(np.unique(y)) < count or np.bincount(y).min() < 2:
        raise ConfigError(
            f"data.min_examples={min_examples} leaves {many.sum()} writers, in whose rows a class"
            " is missing; make it smaller"
        )
    if split == "within":
        train, test = stratified(y, test_fraction, split_seed, writer)
    else:
        train, test = _unseen(writer, test_fraction, split_seed)
    if client == "writer":
        owner, names = writer, [f"writer_{k:03d}" for k in range(len(many))]
    else:
        owner = arrays["writer_source"].astype(np.int64)[writer]
        names = arrays["source_codes"].tolist()
    whole = Dataset(
        name="unipen_chars",
        spec=Spec((1, SIDE, SIDE), count, "classes", tuple(CLASSES[first : last + 1])),
        train=_half(arrays["images"], rows[train], y[train], owner[train]),
        test=_half(arrays["images"], rows[test], y[test], owner[test]),
        client_names=tuple(names),
        source=f"UNIPEN train_r01_v07 as images, {root}",
        licence="CC BY 4.0",
        prepared=Preparation("bytes of pixels over 255, light ink on 0", same(["grey"], 255)),
    )
    return only_classes(whole, classes)


def _arrays(path: Path) -> dict[str, Array]:
    arrays = load_npz(path)
    kinds = {
        "images": ("u", 3),
        "labels": ("iu", 1),
        "writer": ("iu", 1),
        "writer_source": ("iu", 1),
        "source_codes": ("U", 1),
    }
    expect_arrays(path, arrays, kinds)
    images, label, writer = arrays["images"], arrays["labels"], arrays["writer"]
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise ConfigError(f"{path}: images of 28x28 bytes expected, {images.shape[1:]} found")
    if not len(images) or not len(images) == len(label) == len(writer):
        raise ConfigError(
            f"{path}: {len(images)} images, {len(label)} labels and {len(writer)} writers"
        )
    for name, highest in (
        ("labels", len(CLASSES) - 1),
        ("writer", len(arrays["writer_source"]) - 1),
        ("writer_source", len(arrays["source_codes"]) - 1),
    ):
        if arrays[name].min() < 0 or arrays[name].max() > highest:
            raise ConfigError(f"{path}: {name} must be 0 to {highest}")
    return arrays


def _unseen(writer: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """Row numbers (train, test): whole writers, at least one on each side."""
    writers = generator(seed, "unipen_chars").permutation(np.unique(writer))
    if len(writers) < 2:
        raise ConfigError("data.split=unseen needs two writers; make data.min_examples smaller")
    count = min(max(int(fraction * len(writers) + 0.5), 1), len(writers) - 1)
    is_test = np.isin(writer, writers[:count])
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _half(images: Array, rows: Array, y: Array, owner: Array) -> Split:
    x = images[rows].reshape(-1, 1, SIDE, SIDE).astype(np.float32)
    x /= 255
    return Split(x, y, owner)
