"""A comparison as a LaTeX table, for the packages booktabs and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fedrun.report.table_layout import Table

MARKS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def as_latex(table: Table, remarks: Sequence[str]) -> str:
    """A whole table environment; remarks become comments, so that nothing said is lost."""
    columns = "l" * table.keys + "r" * (len(table.heads) - table.keys)
    lines = [
        *(f"% {remark}" for text in remarks for remark in text.splitlines()),
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escaped(table.caption)}}}",
        f"  \\begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {_line(table.heads)}",
        r"    \midrule",
        *(f"    {_line(row)}" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"


def escaped(text: str) -> str:
    """
    >>> escaped("95 % of a_b")
    '95 \\\\% of a\\\\_b'
    """
    marked = "".join(MARKS.get(mark, mark) for mark in text)
    return re.sub(r"(?<![\w.}-])-(?=\d)", "$-$", marked)  # a minus, no hyphen
