"""Sets of 28x28 images in MNIST's four idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.core.option import ConfigError
from fedrun.core.preparation import Preparation, same
from fedrun.data._cache import locate
from fedrun.data._download import Remote
from fedrun.data._idx import read_idx
from fedrun.data._known import refuse_other_set

SIDE = 28


def images(
    name: str,
    root: str | None,
    files: tuple[Remote, ...],
    mirrors: tuple[str, ...],
    classes: tuple[str, ...],
    licence: str,
) -> Dataset:
    """Pixels over 255 as float32 [N, 1, 28, 28]; files: train x, y, test x, y."""
    train_x, train_y, test_x, test_y = locate(name, root, files, mirrors)
    refuse_other_set(name, train_y, test_y)
    return Dataset(
        name=name,
        spec=Spec((1, SIDE, SIDE), len(classes), "classes", classes),
        train=_split(train_x, train_y, len(classes)),
        test=_split(test_x, test_y, len(classes)),
        source=f"idx files of {name}" + ("" if root else f", {mirrors[0]}"),
        licence=licence,
        prepared=Preparation("bytes of pixels over 255, light ink on 0", same(["grey"], 255)),
    )


def _split(image_path: Path, label_path: Path, classes: int) -> Split:
    pixels = read_idx(image_path, dimensions=3)
    label = read_idx(label_path, dimensions=1)
    if pixels.shape[1:] != (SIDE, SIDE):
        raise ConfigError(f"{image_path}: images of 28x28 expected, {pixels.shape[1:]} found")
    if len(pixels) != len(label) or not len(label):
        raise ConfigError(f"{label_path}: {len(label)} labels for {len(pixels)} images")
    if label.max() >= classes:
        raise ConfigError(
            f"{label_path}: label {label.max()} found, at most {classes - 1} expected"
        )
    x = pixels.reshape(-1, 1, SIDE, SIDE).astype(np.float32)
    x /= 255
    return Split(x, label.astype(np.int64))
