"""Accuracy against epsilon as a table: baselines that differ in `_epsN` alone are a curve."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedrun.cli.reproduce_view import measured

if TYPE_CHECKING:
    from fedrun.report.reproduction import Result

NAME = re.compile(r"(.+)_eps(inf|\d+(?:\.\d+)?)")


def point(result: Result) -> tuple[str, float] | None:
    """The curve that a measured result is on, and its epsilon; None where it is on none.

    What is judged is no point of a curve: its verdict would be lost in such a table.
    """
    found = NAME.fullmatch(result.baseline.name)
    if found is None or result.baseline.expect.band is not None:
        return None
    return found[1], float(found[2])


def curves(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """The head of the table and its rows; no rows where there is no curve."""
    rows: dict[str, dict[float, Result]] = {}
    for result in results:
        if on := point(result):
            rows.setdefault(on[0], {})[on[1]] = result
    columns = sorted({epsilon for row in rows.values() for epsilon in row})
    head = ["baselines", "figure", *map(heading, columns), "seeds", "minutes a run"]
    return head, [line(name, row, columns) for name, row in rows.items()]


def heading(epsilon: float) -> str:
    return "no noise" if epsilon == float("inf") else f"epsilon {epsilon:g}"


def line(name: str, row: dict[float, Result], columns: Sequence[float]) -> list[str]:
    """`0.7645, 0.0031` at each epsilon."""
    some = next(iter(row.values()))
    minutes = [result.minutes for result in row.values() if result.minutes is not None]
    return [
        f"`{name}_eps*`",
        measured(some.baseline),
        *(spread(row[epsilon]) if epsilon in row else "" for epsilon in columns),
        " ".join(map(str, some.seeds)),
        f"{max(minutes):.2g}" if minutes else "-",
    ]


def spread(result: Result) -> str:
    """Mean and sd over seeds, or why there are none."""
    judged = result.judged
    if judged.mean is None:
        return f"**{judged.verdict}**"
    return f"{judged.mean:.4f}" + ("" if judged.sd is None else f", {judged.sd:.4f}")
