"""A comparison as a Markdown table, its notes below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fedrun.report.table_layout import Table


def as_markdown(table: Table, remarks: Sequence[str]) -> str:
    """Keys to the left, numbers to the right."""
    rules = ["---"] * table.keys + ["---:"] * (len(table.heads) - table.keys)
    lines = [f"{escaped(table.caption)}", "", _line(map(escaped, table.heads)), _line(rules)]
    lines += [_line(map(escaped, row)) for row in table.rows]
    if remarks:
        lines += ["", *(f"- {escaped(remark)}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """
    >>> escaped("a|b_*c")
    'a\\\\|b\\\\_\\\\*c'
    """
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
