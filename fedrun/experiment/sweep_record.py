"""`sweep.json`: which runs belong to a sweep, to compare, to report, and to go on with them.

    <run.root>/<name>/sweep-<hash8>/sweep.json

    schema   1
    command  the words after `fedrun sweep`; flags that say only how (--jobs, --quiet) are left out
    cells    one object each: `overrides` (what the sweep has put there), `path` (of the run
             directory, from this folder), `config` (the SHA-256 of the resolved config), `status`
             (waiting, running, finished, interrupted, failed, pruned) and, where there is one,
             `reason`
    search   of a sweep with --sampler: its sampler, metric, seed and number of trials

A run's own manifest is the truth about it; what stands here beside it is what no manifest knows:
cells that failed before they had a directory, and cells that were pruned.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.files import read_json, write_json

FILE = "sweep.json"
STATUS = ("waiting", "running", "finished", "interrupted", "failed", "pruned")


def read_sweep(path: Path) -> dict[str, Any]:
    """What a sweep's folder, or its `sweep.json`, holds; each cell's `path` leads there from here.

    ConfigError where there is no sweep, RunError where it is damaged.
    """
    file = path / FILE if path.is_dir() else path
    if file.name != FILE or not file.is_file():
        raise ConfigError(f"{path} is no sweep: there is no {FILE}; `fedrun sweep` prints its path")
    content = read_json(file)
    cells = content.get("cells")
    if content.get("schema") != 1 or not isinstance(cells, list) or not all(map(_whole, cells)):
        raise RunError(
            f"{file} is damaged, or of a newer fedrun; the sweep's command writes it anew"
        )
    for cell in cells:
        cell["path"] = Path(os.path.normpath(file.parent / cell["path"]))
    return content


def write_sweep(
    folder: Path, command: Sequence[str], cells: Sequence[Mapping[str, Any]], **more: Any
) -> None:
    """Replace the file; paths are written as they lead from the folder, so all can be moved."""
    rows = [{**cell, "path": os.path.relpath(cell["path"], folder)} for cell in cells]
    write_json(folder / FILE, {"schema": 1, "command": list(command), **more, "cells": rows})


def _whole(cell: Any) -> bool:
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("path"), str)
        and isinstance(cell.get("overrides"), list)
        and isinstance(cell.get("config"), str)
        and cell.get("status") in STATUS
    )
