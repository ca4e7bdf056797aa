"""Bytes of pictures as the numbers a model is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.preparation import Feature, Preparation, same

LEVELS = 256
COLOURS = ["red", "green", "blue"]
BLOCK_ROWS = 256
Normalize = Literal["none", "train"]


def scale_pixels(
    train: Array, test: Array, normalize: Normalize
) -> tuple[Array, Array, Preparation]:
    """float32 (train, test) of uint8 [N, channels, height, width], and what was done.

    none: pixels over 255. train: each channel then less its mean, over its sd, both of the training
    pictures; a channel of one value becomes 0.
    """
    # 256 levels a channel: the figures are exact, and each level is computed once.
    levels = np.arange(LEVELS, dtype=np.float32) / np.float32(255)
    tables = np.tile(levels, (train.shape[1], 1))
    names = COLOURS if train.shape[1] == len(COLOURS) else ["grey"]
    features = list(same(names, 255))
    if normalize == "train":
        value = np.arange(LEVELS, dtype=np.float64) / 255
        for channel in range(train.shape[1]):
            count = _counts(train[:, channel])
            mean = (count * value).sum() / count.sum()
            deviation = np.sqrt((count * (value - mean) ** 2).sum() / count.sum())
            constant = np.count_nonzero(count) == 1
            tables[channel] = (value - mean) / (np.inf if constant else deviation)
            over = None if constant else 255 * float(deviation)
            features[channel] = Feature(names[channel], 255 * float(mean), over)
    scored = ", then z-scored by channel over the training pictures" * (normalize == "train")
    done = Preparation(f"bytes of pixels over 255{scored}", tuple(features))
    return _looked_up(train, tables), _looked_up(test, tables), done


def _counts(plane: Array) -> Array:
    """int64 [256]: how often each level occurs."""
    count = np.zeros(LEVELS, np.int64)
    for block in _blocks(len(plane)):
        count += np.bincount(plane[block].ravel(), minlength=LEVELS)
    return count


def _looked_up(pixels: Array, tables: Array) -> Array:
    x = np.empty(pixels.shape, np.float32)
    for block in _blocks(len(pixels)):
        for channel, table in enumerate(tables):
            x[block, channel] = table.take(pixels[block, channel])
    return x


def _blocks(rows: int) -> Iterator[slice]:
    """NumPy counts and looks up by int64, eight bytes a pixel: a large set goes block by block."""
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)
