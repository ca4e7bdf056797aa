"""One process at a time works on a run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fedrun.core.option import ConfigError


def take_lock(path: Path, run: Path | None = None) -> BinaryIO:
    """Hold the folder for this process; it is freed with the process, however that ends.

    run: what the user calls it, where the folder has another name still.
    """
    file = (path / ".lock").open("ab")
    with suppress(ImportError):  # where there is no flock, nothing guards against a second process
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise in_use(run or path) from error
    return file


def in_use(path: Path) -> ConfigError:
    return ConfigError(f"{path} is in use: another process is working on this run")


def is_in_use(path: Path) -> bool:
    """Whether another process is working on this run."""
    try:
        take_lock(path).close()
    except ConfigError:
        return True
    return False
