"""Files that the user must bring: a set whose files are published nowhere in this form, or whose
published sums nobody could check, is never downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from fedrun.core.option import ConfigError


def given_folder(name: str, root: str | None, needs: str, origin: str) -> Path:
    """The folder `data.root`. needs: what it must hold; origin: where to get that."""
    if root is None:
        raise ConfigError(f"data={name} needs data.root=FOLDER with {needs}\nGet it from {origin}")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.root={root} is no folder; it must hold {needs}")
    return folder


def given_file(name: str, root: str | None, file: str, origin: str) -> Path:
    """That file in the folder `data.root`, gzip (NAME.gz) or not; npz files are packed already."""
    folder = given_folder(name, root, file, origin)
    packed = "" if file.endswith(".npz") else f"{file}.gz"
    for path in (folder / file, folder / packed):
        if path.is_file():
            return path
    either = f"{file} (or {packed})" if packed else file
    raise ConfigError(
        f"data.root={folder} has no file {either}, which data={name} needs"
        f"{inside(name, folder, file, packed)}\nGet it from {origin}"
    )


def inside(name: str, folder: Path, *files: str) -> str:
    """A hint where one of the files lies in the subfolder that is called like the set."""
    inner = folder / name
    there = any((inner / file).is_file() for file in files)
    return f"; did you mean data.root={inner}?" if there else ""


def refuse_ineffective(cause: str, options: dict[str, tuple[object, object]]) -> None:
    """options: key -> (value, default); what is not the default would do nothing because of cause.

    >>> refuse_ineffective("LEAF's files are cut already", {"stride": (80, 80)})
    """
    for key, (value, default) in options.items():
        if value != default:
            raise ConfigError(f"data.{key}={value} has no effect: {cause}; leave it out")


def refuse_beyond_memory(what: str, needed_bytes: int, mend: str) -> None:
    """ConfigError where dense arrays of that size cannot fit into this machine's memory."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed_bytes > memory:
            raise ConfigError(
                f"{what} takes {needed_bytes / 1e9:,.1f} GB as dense arrays and this machine has"
                f" {memory / 1e9:,.1f} GB; {mend}"
            )
