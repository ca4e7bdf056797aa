"""Where a set's files lie: in the user's `data.root`, or in a per-user folder filled on first use.

FEDRUN_DATA names that folder; else it is `fedrun` in the system's folder for caches.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fedrun.core.option import ConfigError
from fedrun.data._download import Remote, download
from fedrun.data._given import inside


def locate(
    name: str, root: str | None, files: tuple[Remote, ...], mirrors: tuple[str, ...]
) -> list[Path]:
    """The path of each file, in order. Nothing is ever downloaded into a given root."""
    if root is None:
        folder = cache_folder() / name
        return [download(file, folder, mirrors) for file in files]
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.root={root} is no folder; it must hold {_names(files)}")
    return [_find(name, folder, file, files) for file in files]


def cache_folder() -> Path:
    """FEDRUN_DATA, or `fedrun` below the platform's cache folder."""
    if moved := os.environ.get("FEDRUN_DATA"):
        return Path(moved).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "fedrun"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fedrun"
    # The XDG rule: a relative path there is invalid and counts as not set.
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "fedrun"


def _find(name: str, folder: Path, file: Remote, files: tuple[Remote, ...]) -> Path:
    plain = file.name.removesuffix(".gz")
    for path in (folder / plain, folder / f"{plain}.gz"):
        if path.is_file():
            return path
    raise ConfigError(
        f"data.root={folder} has no file {plain} (or {plain}.gz); data={name} needs {_names(files)}"
        f"{inside(name, folder, plain, f'{plain}.gz')}"
    )


def _names(files: tuple[Remote, ...]) -> str:
    return ", ".join(file.name.removesuffix(".gz") for file in files)
