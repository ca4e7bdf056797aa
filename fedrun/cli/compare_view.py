"""What `fedrun compare` shows on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from fedrun.cli.theme import THEME

if TYPE_CHECKING:
    from fedrun.report.table_layout import Table

GAP = 2


def show(table: Table, remarks: Sequence[str], paired: Sequence[str]) -> None:
    """The table, in a pipe as wide as it is; on a terminal that is too narrow its further columns
    stand below, under the same groups."""
    console = Console(theme=THEME, highlight=False)
    console.print(f"[bold]{escape(table.caption)}[/]", soft_wrap=True)
    widths = [max(map(cell_len, column)) for column in zip(table.heads, *table.rows, strict=True)]
    room = console.width if console.is_terminal else None
    for columns in parts(widths, table.keys, room):
        console.print()
        for number, row in enumerate([table.heads, *table.rows]):
            keys = "  ".join(_left(row[at], widths[at]) for at in range(table.keys))
            rest = "".join(" " * GAP + _right(row[at], widths[at]) for at in columns)
            if number == 0:
                console.print(f"[muted]{escape(keys + rest)}[/]", soft_wrap=True)
            else:
                console.print(f"[key]{escape(keys)}[/]{escape(rest)}", soft_wrap=True)
    if paired:
        console.print()
        for line in paired:
            console.print(escape(line), soft_wrap=not console.is_terminal)
    if remarks:
        console.print()
        for line in remarks:
            style = "bad" if line.startswith("warning") else "muted"
            console.print(f"[{style}]{escape(line)}[/]", soft_wrap=not console.is_terminal)


def parts(widths: Sequence[int], keys: int, room: int | None) -> list[list[int]]:
    """The columns beside the keys, as many together as there is room for; one at least.

    >>> parts([6, 4, 4, 4], keys=1, room=18)
    [[1, 2], [3]]
    """
    start = sum(widths[:keys]) + GAP * (keys - 1)
    found: list[list[int]] = [[]]
    used = start
    for at in range(keys, len(widths)):
        needed = GAP + widths[at]
        if found[-1] and room is not None and used + needed > room:
            found.append([])
            used = start
        found[-1].append(at)
        used += needed
    return found


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
