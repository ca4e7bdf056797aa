"""A CSV file (gzip or not) as columns of text that remember their line numbers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_bytes
from fedrun.data._number import numbers

FEW = 30
TAB = ("tab", "\\t")


@dataclass(frozen=True)
class Sheet:
    """columns: name -> the text of each row. place[row] = (file, line number) for messages."""

    columns: dict[str, list[str]]
    place: list[tuple[Path, int]]

    def __len__(self) -> int:
        return len(self.place)

    def where(self, row: int) -> str:
        path, line = self.place[row]
        return f"{path}, line {line}"

    def keep(self, mask: Array) -> Sheet:
        rows = np.flatnonzero(mask).tolist()
        columns = {name: [text[row] for row in rows] for name, text in self.columns.items()}
        return replace(self, columns=columns, place=[self.place[row] for row in rows])

    def without(self, names: list[str]) -> Sheet:
        columns = {name: text for name, text in self.columns.items() if name not in names}
        return replace(self, columns=columns)

    def append(self, other: Sheet) -> Sheet:
        """The rows of `other` below these; both must have the same columns, in any order."""
        odd = sorted(self.columns.keys() ^ other.columns.keys())
        if odd:
            raise ConfigError(
                f"{self.place[0][0]} and {other.place[0][0]} must have the same columns; only one"
                f" has {listed(odd)}"
            )
        columns = {name: text + other.columns[name] for name, text in self.columns.items()}
        return Sheet(columns, self.place + other.place)


def read_csv(path: Path, delimiter: str) -> Sheet:
    """A UTF-8 file with a header line; cells are stripped, blank lines are skipped."""
    delimiter = "\t" if delimiter in TAB else delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(
            f"data.delimiter={delimiter!r} must be one character, such as ',' or ';', or tab"
        )
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at position"
            f" {error.start:,}; save it as UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    if not rows:
        raise ConfigError(f"{path} is empty; a CSV file with a header line is needed")
    header = _header(path, rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise ConfigError(
                f"{path}, line {line}: {len(row)} cells found, the header has {len(header)}"
            )
    if len(rows) == 1:
        raise ConfigError(f"{path} has a header line and no rows")
    cells = zip(*rows[1:], strict=True)
    columns = {
        name: [cell.strip() for cell in column] for name, column in zip(header, cells, strict=True)
    }
    return Sheet(columns, [(path, line) for line in lines[1:]])


def _header(path: Path, row: list[str]) -> list[str]:
    """Column names; one without a name (a saved index) is called by its position."""
    if all(cell.strip() for cell in row) and numbers(row) is not None:
        raise ConfigError(f"{path} has no header line: its first line holds numbers only")
    names = [cell.strip() or f"column_{number}" for number, cell in enumerate(row, start=1)]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"{path} names the column {name!r} {times} times; names must differ")
    return names


def listed(names: list[str]) -> str:
    """The names, the first 30 of them if there are more."""
    more = f", ... ({len(names)} in all)" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
