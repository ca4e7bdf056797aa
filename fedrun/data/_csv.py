"""A CSV file (gzip or not) as columns of text that remember their line numbers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_text
from fedrun.data._number import number, numbers

FEW = 30
NAMED = {"tab": "\t", "\\t": "\t", "semicolon": ";", "pipe": "|", "comma": ","}


@dataclass(frozen=True)
class Sheet:
    """columns: name -> the text of each row. place[row] = (file, line number) for messages.
    decimal: the sign before the fraction of a number."""

    columns: dict[str, list[str]]
    place: list[tuple[Path, int]]
    decimal: str = "."
    _parsed: dict[str, Array | None] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.place)

    def where(self, row: int) -> str:
        path, line = self.place[row]
        return f"{path}, line {line}"

    def numbers(self, name: str) -> Array | None:
        """The column as float64 [rows], NaN where a value is missing; None if it is text."""
        if name not in self._parsed:
            self._parsed[name] = numbers(self.columns[name], self.decimal)
        return self._parsed[name]

    def keep(self, mask: Array) -> Sheet:
        if mask.all():
            return self
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
        return replace(self, columns=columns, place=self.place + other.place)


def read_csv(path: Path, delimiter: str, *, header: bool = True, decimal: str = ".") -> Sheet:
    """A UTF-8 file; cells are stripped, blank lines are skipped. Without a header line columns are
    called by their positions."""
    delimiter = NAMED.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(
            f"data.delimiter={delimiter!r} must be one character, such as ',', or tab, semicolon,"
            " pipe"
        )
    text = read_text(path)
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
    _refuse_one_column(path, rows[0], delimiter)
    if not header:
        rows.insert(0, [""] * len(rows[0]))
        lines.insert(0, 0)
    names = _header(path, rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            first = f"the header (line {lines[0]})" if header else "the first line"
            raise ConfigError(
                f"{path}, line {line}: {len(row)} cells found, {first} has {len(names)}"
            )
    if len(rows) == 1:
        raise ConfigError(f"{path} has a header line and no rows")
    cells = zip(*rows[1:], strict=True)
    columns = {}
    for name, title, column in zip(names, rows[0], cells, strict=True):
        stripped = list(map(str.strip, column))
        # A delimiter behind the last cell makes a column without a name and without a value.
        if title.strip() or not header or any(stripped):
            columns[name] = stripped
    return Sheet(columns, [(path, line) for line in lines[1:]], decimal)


def _refuse_one_column(path: Path, row: list[str], delimiter: str) -> None:
    """One column is too few, so a line that holds another delimiter was not read as was meant."""
    for word, other in (("semicolon", ";"), ("tab", "\t"), ("pipe", "|"), ("comma", ",")):
        if len(row) == 1 and other in row[0]:
            raise ConfigError(
                f"{path} has one column with data.delimiter={delimiter!r}, and {word} stands in its"
                f" first line; give data.delimiter={word}"
            )


def _header(path: Path, row: list[str]) -> list[str]:
    """Column names; one without a name (a saved index) is called by its position."""
    if all(cell.strip() for cell in row) and numbers(row) is not None:
        raise ConfigError(
            f"{path} has no header line: its first line holds numbers only; data.header=false calls"
            f" the columns column_1 to column_{len(row)}"
        )
    names = [cell.strip() or f"column_{place}" for place, cell in enumerate(row, start=1)]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        hint = "" if number(name) is None else "; without a header line, data.header=false"
        raise ConfigError(
            f"{path} names the column {name!r} {times} times; names must differ{hint}"
        )
    return names


def listed(names: list[str]) -> str:
    """The names, the first 30 of them if there are more."""
    more = f", ... ({len(names)} in all)" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
