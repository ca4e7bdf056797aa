"""What a run says of itself: its status, its config as flat keys, its data.

A thousand configs are read in a second because most of their text is the same: each block of a
file, from one key at the left edge to the next, is parsed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment import config_file
from fedrun.experiment.accept import shown
from fedrun.experiment.files import read_json

ABSENT = "-"  # what a key is in a run whose config does not have it


@dataclass(frozen=True)
class Record:
    """`config`: every key in full, a group's choice under the group's own name; `data`: name and
    SHA-256."""

    path: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.manifest.get("status"))

    @property
    def seed(self) -> int | None:
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def rounds(self) -> int | None:
        """How many a finished run was to have; None while more may come."""
        rounds = self.config.get("rounds")
        return rounds if self.status == "finished" and isinstance(rounds, int) else None

    @property
    def data(self) -> tuple[str, str]:
        data = self.manifest.get("data")
        facts = data if isinstance(data, dict) else {}
        return str(facts.get("name", "")), str(facts.get("sha256", ""))

    def text(self, key: str) -> str:
        """A key's value as a command line has it; 1 and 1.0 differ, as in clients.per_round."""
        if key not in self.config:
            return ABSENT
        value = self.config[key]
        return value if isinstance(value, str) and value else shown(value)


def read_record(path: Path) -> Record:
    """RunError where a file of the run is damaged."""
    manifest = read_json(path / "manifest.json")
    try:
        values = read_config(path / "config.yaml")
    except ConfigError as error:
        raise RunError(str(error)) from error
    return Record(path, manifest, dict(flat(values)))


def read_config(file: Path) -> dict[str, Any]:
    """The values of a run's own config file."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return config_file.read(file)  # which tells what is wrong
    values: dict[str, Any] = {}
    try:
        for block in blocks(text):
            found = _parsed(block)
            if found.keys() & values.keys():
                return config_file.read(file)  # a key stands there twice
            values |= found
    except ConfigError:
        return config_file.read(file)  # a file that somebody has laid out in another way
    return values


def blocks(text: str) -> list[str]:
    """
    >>> blocks("seed: 0\\nlocal:\\n  lr: 0.1\\n")
    ['seed: 0\\n', 'local:\\n  lr: 0.1\\n']
    """
    found: list[list[str]] = []
    for line in text.splitlines(keepends=True):
        if found and (line[0] in " \t\r\n#-]}" or not line.strip()):
            found[-1].append(line)
        else:
            found.append([line])
    return ["".join(lines) for lines in found]


@lru_cache(maxsize=10_000)
def _parsed(block: str) -> dict[str, Any]:
    return config_file.parse(block, "")


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """
    >>> flat({"rounds": 2, "algorithm": {"name": "fedprox", "mu": 0.1}})
    [('rounds', 2), ('algorithm', 'fedprox'), ('algorithm.mu', 0.1)]
    """
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{key}.")
        elif key == "name" and prefix:
            found.append((prefix[:-1], value))
        else:
            found.append((f"{prefix}{key}", value))
    return found


def read_records(paths: Sequence[Path], unfinished: bool) -> tuple[list[Record], list[str]]:
    """The runs to compare, and a note on each that is left out or not at its end."""
    records, notes = [], []
    waiting: list[str] = []
    for path in paths:
        try:
            record = read_record(path)
        except RunError as error:
            notes.append(f"left out: {str(error).partition(chr(10))[0]}")
            continue
        if record.status != "finished":
            waiting.append(record.status)
        if record.status == "finished" or unfinished:
            records.append(record)
    if waiting:
        counts = ", ".join(f"{count} {status}" for status, count in Counter(waiting).items())
        one = len(waiting) == 1
        runs = "1 unfinished run is" if one else f"{len(waiting)} unfinished runs are"
        far, them = ("it came", "it") if one else ("they came", "them")
        end = f"counted as far as {far}" if unfinished else f"left out; --unfinished counts {them}"
        notes.append(f"{runs} {end} ({counts})")
    if not records:
        raise ConfigError("\n".join(["there is no finished run to compare:", *notes[-3:]]))
    return records, notes
