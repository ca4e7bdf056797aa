"""What is written of a round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

Column = list[Any]


@dataclass(frozen=True)
class Rows(Sequence[dict[str, Any]]):
    """One row per client of the cohort, kept by columns of equal length; None is left out of a row.

    >>> rows = Rows({"client": [4, 7], "loss": [0.5, None]})
    >>> rows[1], len(rows)
    ({'client': 7}, 2)
    """

    columns: dict[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        row = {name: column[index] for name, column in self.columns.items()}
        return {name: value for name, value in row.items() if value is not None}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class Record:
    """Flat metrics, one row per client, and how many examples were seen in all steps."""

    metrics: dict[str, float]
    clients: Rows
    examples: int = 0
