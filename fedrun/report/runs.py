"""What lies in a folder of runs: how far each has come, how good it is, and whether it still lives.

A run's manifest says `running` until its process writes otherwise, which a killed process never
does. Its lock tells: the system frees it with the process. A run that says `running` and holds no
lock is dead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

from fedrun.core.metric import is_better
from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.files import read_json
from fedrun.experiment.lock import is_in_use
from fedrun.report.collect import search
from fedrun.report.collect_lines import FILE, read_columns
from fedrun.report.collect_run import read_config
from fedrun.report.comparison_measure import DEFAULT

DEAD, DAMAGED = "dead", "damaged"


@dataclass(frozen=True)
class Run:
    """`status`: the manifest's, or `dead`, or `damaged` (then `error` says why); `best` and the
    metric that it is of; `age`: seconds since it last wrote something."""

    path: Path
    status: str
    round: int | None
    rounds: int | None
    metric: str | None
    best: float | None
    age: float
    size: int
    error: str | None = None


def list_runs(folder: Path, metric: str | None = None) -> list[Run]:
    """All runs at or below a folder, those that wrote last at the end."""
    if not folder.is_dir():
        why = "is a file" if folder.exists() else "is not there"
        raise ConfigError(f"{folder} {why}; name a folder of runs")
    found = [read_run(path, metric) for path in find(folder)]
    return sorted(found, key=lambda run: -run.age)


def find(folder: Path) -> Iterator[Path]:
    """Run directories, damaged ones too: whatever holds a manifest."""
    for place, names in search(folder):
        if "manifest.json" in names and ("config.yaml" in names or FILE in names):
            yield place


def read_run(path: Path, metric: str | None) -> Run:
    written = last_sign(path)
    age, size = max(time() - written, 0.0), size_of(path)
    try:
        manifest = read_json(path / "manifest.json")
        status = state(path, manifest)
        rounds = int(read_config(path / "config.yaml")["rounds"])
        done, name, best = _figures(path, status, metric)
    except (RunError, ConfigError, LookupError, TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        return Run(path, DAMAGED, None, None, None, None, age, size, why)
    error_text = manifest.get("error") if status == "failed" else None
    return Run(path, status, done, rounds, name, best, age, size, error_text)


def state(path: Path, manifest: dict[str, Any]) -> str:
    """The manifest's status, unless it says `running` of a process that is no more."""
    status = manifest.get("status")
    if status not in ("running", "finished", "interrupted", "failed"):
        raise RunError(f"{path / 'manifest.json'} is damaged: its status is {status!r}")
    return DEAD if status == "running" and not is_held(path) else str(status)


def is_held(path: Path) -> bool:
    """Whether a process is working on this run; looks without leaving a lock file behind."""
    if not (path / ".lock").is_file():
        return False
    try:
        return is_in_use(path)
    except OSError:  # somebody else's run, which we may not open: take it for alive
        return True


def _figures(path: Path, status: str, metric: str | None) -> tuple[int, str | None, float | None]:
    """Rounds done, and the best figure with its name; a finished run's summary has them."""
    if status == "finished":
        summary = read_json(path / "summary.json")
        bests = summary["best"]
        name = metric or next((name for name in DEFAULT if name in bests), None)
        found = bests.get(name)
        if found is not None or metric is None:
            return int(summary["rounds"]), name, found and float(found["value"])
    names = [metric] if metric else list(DEFAULT)
    lines, _ = read_columns(path, names)
    done = int(lines[-1]["round"]) if lines else 0
    name = next((name for name in names if any(name in line for line in lines)), None)
    if name is None:
        return done, metric, None
    better = is_better(name)
    return done, name, better * max(better * line[name] for line in lines if name in line)


def last_sign(path: Path) -> float:
    """When the run last wrote: a line of metrics, or its manifest."""
    with suppress(RunError, LookupError, TypeError, ValueError):
        # else it is not at its end, or damaged, and the files' own times tell
        return datetime.fromisoformat(read_json(path / "manifest.json")["ended"]).timestamp()
    files = [path / name for name in ("manifest.json", FILE)]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def size_of(path: Path) -> int:
    """Bytes of all files below; what a symbolic link points at is not ours."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    total = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # a run at work has just removed it
        pass
    return total
