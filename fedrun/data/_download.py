"""Public files fetched once, checked by size and SHA-256 before they get their name.

A file grows under a name of its own (`.part`), so two runs that fetch the same set never meet, and
what stands under the final name is always whole: `os.replace` puts it there in one step.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from fedrun.core.option import RunError

BLOCK_BYTES = 1 << 16
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Remote:
    """One published file: its name at every mirror, its exact size and its SHA-256."""

    name: str
    bytes: int
    sha256: str


class _MirrorError(Exception):
    """One mirror failed; the next may not."""


def download(file: Remote, folder: Path, mirrors: tuple[str, ...]) -> Path:
    """The checked file in `folder`; fetched from the first mirror that delivers it if need be.

    A file that is there but fails its check is fetched again. RunError if no mirror delivers.
    """
    path = folder / file.name
    try:
        if path.is_file() and _sha256(path) == file.sha256:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        failures = []
        for mirror in mirrors:
            try:
                _fetch(mirror + file.name, file, path)
            except _MirrorError as error:
                failures.append(f"{mirror}: {error}")
            else:
                return path
    except OSError as error:
        raise RunError(
            f"cannot keep {file.name} in {folder}: {error.strerror or error};"
            " FEDRUN_DATA=FOLDER moves this folder"
        ) from error
    raise RunError(
        f"could not download {file.name} ({'; '.join(failures)}). Without a network, put the set's"
        " files into a folder and give data.root=FOLDER"
    )


def _fetch(url: str, file: Remote, path: Path) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as target:
            digest = hashlib.sha256()
            for block in _blocks(url, file.bytes):
                target.write(block)
                digest.update(block)
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != file.sha256:
            raise _MirrorError(f"wrong checksum, SHA-256 {digest.hexdigest()[:12]}...")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _blocks(url: str, expected: int) -> Iterator[bytes]:
    """Exactly `expected` bytes from `url`; what a mirror does wrong is a _MirrorError."""
    received = 0
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            # A server that never stops must not fill the disk: one byte too many is enough to know.
            while block := response.read(min(BLOCK_BYTES, expected - received + 1)):
                received += len(block)
                if received > expected:
                    raise _MirrorError(f"more than the {expected:,} bytes expected")
                yield block
    except (OSError, HTTPException) as error:
        raise _MirrorError(str(getattr(error, "reason", None) or error)) from error
    if received != expected:
        raise _MirrorError(f"ended after {received:,} of {expected:,} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
