"""A sweep as a table and a picture for a notebook: a line for each cell, the courses of one figure.

Of few cells each course has a colour, which stands before its row; of many all are pale. Everything
that comes from a file is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import Any

from fedrun.core.bound import is_bound, upwards
from fedrun.experiment.picture import DRAWN, LINE, Course, Lines, course, curves

FIGURES = (
    "test/accuracy", "test/r2", "test/loss", "personal/accuracy_mean", "client/accuracy_worst10",
    "unseen/accuracy_mean", "privacy/epsilon",
)  # fmt: skip
APART = ("cell", "run", "reason", "status", "rounds")
# Okabe and Ito's, less black and yellow: to be told apart by most, on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#888888")
MOST = 60  # rows, and courses

Row = dict[str, Any]


def html(name: str, cells: Sequence[tuple[Row, Lines]]) -> str:
    """cells: the row of each, and its lines of metrics."""
    rows = [row for row, _ in cells]
    states = [row["status"] for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    head = f"<b>{escape(name)}</b><br>{len(cells)} cells: {escape(counts)}"
    metric = next((m for m in DRAWN if any(len(course(seen, m)) > 1 for _, seen in cells)), None)
    drawn = [] if metric is None else courses(metric, cells[:MOST])
    colours = [one.colour if one.opacity == 1 else "" for one in drawn]
    by_title = {one.title: colour for one, colour in zip(drawn, colours, strict=True)}
    picture = ""
    if metric is not None:
        words = f"{metric} by round of {len(drawn)} cells"
        picture = f"<br>{curves(metric, drawn, words)}"
    return f'<div class="fedrun-sweep">{head}{table(rows, by_title)}{picture}</div>'


def courses(metric: str, cells: Sequence[tuple[Row, Lines]]) -> list[Course]:
    found = [(row["cell"], course(seen, metric)) for row, seen in cells]
    found = [(title, points) for title, points in found if len(points) > 1]
    if len(found) > len(COLOURS):
        return [Course(title, points, LINE, 0.4) for title, points in found]
    return [Course(*one, colour) for one, colour in zip(found, COLOURS, strict=False)]


def table(rows: Sequence[Row], colours: dict[str, str]) -> str:
    """What the sweep has set, status, rounds and figures; a reason under a cell that failed."""
    keys = dict.fromkeys(name for row in rows for name in row)
    shown = [name for name in keys if "/" not in name and name not in APART]
    shown += ["status", "rounds", *(name for name in FIGURES if name in keys)]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *shown))
    body = [line(row, shown, colours.get(row["cell"], "")) for row in rows[:MOST]]
    if rows[MOST:]:
        body.append(f'<tr><td colspan="{len(shown) + 1}">and {len(rows) - MOST} more</td></tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def line(row: Row, names: Sequence[str], colour: str) -> str:
    mark = f'<span aria-hidden="true" style="color:{colour}">&#9632;</span>' if colour else ""
    cells = "".join(cell(name, row.get(name)) for name in names)
    why = ""
    if row["reason"]:
        why = (
            f'<tr><td></td><td colspan="{len(names)}"><i>{escape(str(row["reason"]))}</i></td></tr>'
        )
    return f"<tr><td>{mark}</td>{cells}</tr>{why}"


def cell(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{'' if value is None else escape(str(value))}</td>"
    text = f"{value:.4g}" if isinstance(value, float) and isfinite(value) else str(value)
    text = upwards(value) if is_bound(name) else text
    return f'<td style="text-align:right">{escape(text)}</td>'
