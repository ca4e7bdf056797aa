"""Which runs are meant: run directories, folders of runs, and sweeps.

A run is a folder that holds `manifest.json` and `config.yaml`. Folders are searched to any depth;
hidden ones and symbolic links inside them are not followed. A folder with `sweep.json` also means
the runs that are named there, wherever they lie.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedrun.core.option import ConfigError
from fedrun.experiment.sweep_record import FILE as SWEEP
from fedrun.experiment.sweep_record import read_sweep
from fedrun.report.collect_lines import FILE as METRICS

NEEDED = ("manifest.json", "config.yaml")
MOST = 5  # broken runs that are told one by one


@dataclass(frozen=True)
class Found:
    """Each run once, in the order of the places, then by name; `notes`: what a reader must know."""

    runs: list[Path]
    notes: list[str]


def collect(places: Sequence[Path]) -> Found:
    """All runs in these places; ConfigError where one of them holds none."""
    runs: dict[Path, Path] = {}
    notes: list[str] = []
    for place in places:
        said: list[str] = []
        inside = list(_in_place(place, said))
        if not inside:
            raise _none(place, said)
        notes += said
        for run in inside:
            runs.setdefault(run.resolve(), run)
    return Found(list(runs.values()), list(dict.fromkeys(notes)))


def _none(place: Path, notes: Sequence[str]) -> ConfigError:
    if notes:
        return ConfigError("\n".join([f"no runs found in {place}:", *notes[:3]]))
    return ConfigError(
        f"no runs found in {place}: neither it nor a folder in it holds a manifest.json; "
        f"`fedrun train` prints a run's path when it ends"
    )


def is_run(folder: Path) -> bool:
    return (folder / "manifest.json").is_file() and (folder / "config.yaml").is_file()


def search(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder from this one down, with the names of what it holds; nothing below a run."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    names = [entry.name for entry in found]
    yield folder, names
    if "manifest.json" in names and "config.yaml" in names:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from search(folder / entry.name)


def _in_place(place: Path, notes: list[str]) -> Iterator[Path]:
    place = place.expanduser()
    if place.name == SWEEP and place.is_file():
        place = place.parent
    if not place.is_dir():
        why = "is a file" if place.exists() else "is not there"
        raise ConfigError(f"{place} {why}; name run directories, sweeps, or folders that hold them")
    broken: list[str] = []
    for folder, names in search(place):
        lacks = [name for name in NEEDED if name not in names]
        if not lacks:
            yield folder
        elif METRICS in names or (folder == place and NEEDED[0] in names):
            broken += [
                f"left out: {folder} is damaged: {' and '.join(lacks)} "
                f"{'are' if len(lacks) > 1 else 'is'} missing"
            ]
        if SWEEP in names:
            yield from _cells(folder, notes)
    notes += broken[:MOST]
    if len(broken) > MOST:
        notes.append(f"left out: {len(broken) - MOST} more damaged runs")


def _cells(sweep: Path, notes: list[str]) -> Iterator[Path]:
    """The runs of a sweep's cells; one that is waiting, or failed before it began, has none."""
    cells = read_sweep(sweep)["cells"]
    without = Counter(cell["status"] for cell in cells if not is_run(cell["path"]))
    if without:
        words = ", ".join(f"{count} {status}" for status, count in without.items())
        notes.append(f"{sweep}: {without.total()} of {len(cells)} cells have no run ({words})")
    yield from (cell["path"] for cell in cells if is_run(cell["path"]))
