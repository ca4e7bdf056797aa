"""The bytes or text of a file the user named, gzip or not; failures are told by the file's name."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from fedrun.core.option import ConfigError

GZIP_MAGIC = b"\x1f\x8b"


def read_text(path: Path) -> str:
    """All of a UTF-8 file, with or without a byte order mark, unpacked if it is gzip."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at position"
            f" {error.start:,}; save it as UTF-8"
        ) from error


def read_bytes(path: Path) -> bytes:
    """All bytes of `path`, unpacked if it is gzip; ConfigError if it cannot be read whole."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    if not raw.startswith(GZIP_MAGIC):
        if path.suffix == ".gz":
            raise ConfigError(f"{path} is not gzip, though its name ends in .gz")
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise ConfigError(
            f"{path} is a damaged gzip file ({len(raw):,} bytes found): {error}"
        ) from error
