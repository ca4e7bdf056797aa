"""The idx reader: a file by hand, and every way it can be damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.data._idx import read_idx

WHOLE = struct.pack(">4I", 2051, 2, 1, 3) + bytes([1, 2, 3, 4, 5, 255])


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_by_hand(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(WHOLE, mtime=0) if packed else WHOLE)
    assert read_idx(path, dimensions=3).tolist() == [[[1, 2, 3]], [[4, 5, 255]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE[:-1], r"22 bytes expected for shape \(2, 1, 3\), 21 found"),
        (WHOLE + b"x", r"22 bytes expected for shape \(2, 1, 3\), 23 found"),
        (WHOLE[:10], r"header of 16 bytes expected, 10 found"),
        (b"", r"header of 16 bytes expected, 0 found"),
        (b"\0\0\x0d\x03" + WHOLE[4:], r"magic 2051 expected, 3331 found"),
        (gzip.compress(WHOLE, mtime=0)[:-9], r"damaged gzip file \(\d+ bytes found\)"),
        (gzip.compress(WHOLE, mtime=0)[:-8] + bytes(8), r"damaged gzip file"),
        (gzip.compress(WHOLE, mtime=0)[:12] + b"\xff" * 20, r"damaged gzip file"),
        (gzip.compress(WHOLE + b"xy", mtime=0), r"22 bytes expected .*, 24 found"),
    ],
)
def test_damage_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{path}.*{message}"):
        read_idx(path, dimensions=3)


def test_plain_file_with_a_gzip_name(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(WHOLE)
    with pytest.raises(ConfigError, match="is not gzip"):
        read_idx(path, dimensions=3)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        read_idx(tmp_path / "images", dimensions=3)
