"""The idx format of MNIST: big-endian magic, one uint32 per dimension, then the bytes.

Magic 0x00000801 is a list of uint8, 0x00000803 a stack of uint8 images.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_bytes

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, *, dimensions: int) -> Array:
    """The uint8 array of an idx file (gzip or not), exactly as long as its header says."""
    raw = read_bytes(path)
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise ConfigError(f"{path}: an idx header of {header} bytes expected, {len(raw)} found")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", raw[:header])
    expected = UNSIGNED_BYTE << 8 | dimensions
    if magic != expected:
        raise ConfigError(f"{path}: idx magic {expected} expected, {magic} found")
    whole = header + prod(shape)
    if len(raw) != whole:
        raise ConfigError(
            f"{path}: {whole:,} bytes expected for shape {tuple(shape)}, {len(raw):,} found"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
