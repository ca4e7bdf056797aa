"""The verdicts as a page: `fedrun reproduce '*' --markdown FILE`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import fedrun
from fedrun.cli.reproduce_curve import curves, point
from fedrun.cli.reproduce_view import band, measured, number, ours, short

if TYPE_CHECKING:
    from fedrun.report.reproduction import Result

HEAD = (
    "baseline", "figure, protocol", "paper", "ours: mean, sd (seeds)", "band", "verdict",
    "seeds", "minutes a run", "source",
)  # fmt: skip
CURVES = (
    "Mean and sd over seeds; nobody published these settings, so nothing is judged. The same "
    "federation and the same options in a row, only the noise differs."
)


def page(results: Sequence[Result]) -> str:
    """One row a published number, then what is to be said about them, then the curves."""
    rows = [result for result in results if not point(result)]
    parts = [
        "# Published numbers against ours",
        f"Written by `fedrun reproduce` on {datetime.now(UTC):%Y-%m-%d}: {tally(rows)}. "
        f"{machine()}{ended(results)}",
    ]
    if rows:
        parts.append(table(HEAD, [row(result) for result in rows]))
    if told := [note for result in rows for note in notes(result)]:
        parts.append("\n".join(told))
    head, lines = curves(results)
    if lines:
        parts += ["## Accuracy against epsilon", CURVES, table(head, lines)]
        if told := [note for result in results if point(result) for note in notes(result)]:
            parts.append("\n".join(told))
    return "\n\n".join([*parts, ""])


def tally(results: Sequence[Result]) -> str:
    """How many came out. A paper that says which of two is better, and no number that can be had
    here, publishes a direction."""
    judged = [result for result in results if result.baseline.expect.band is not None]
    numbers = [result for result in judged if result.baseline.expect.value is not None]
    directions = [result for result in judged if result.baseline.expect.value is None]
    said = [
        f"{sum(result.judged.holds for result in those)} of {len(those)} {what}"
        for those, what in ((numbers, "numbers"), (directions, "directions"))
        if those
    ]
    return f"{' and '.join(said) or 'none'} within their bands"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ended(results: Sequence[Result]) -> str:
    """Runs that were finished before are not run again: so their dates are said."""
    days = sorted(result.ended[:10] for result in results if result.ended)
    return f" The runs ended between {days[0]} and {days[-1]}." if days else ""


def row(result: Result) -> list[str]:
    each, judged = result.baseline, result.judged
    words = short(result)
    return [
        f"`{each.name}`",
        measured(each),
        number(each.expect.value),
        " ".join([ours(result), *result.setting]),
        band(each),
        words if judged.holds else f"**{words}**",
        " ".join(map(str, result.seeds)),
        "-" if result.minutes is None else f"{result.minutes:.2g}",
        each.expect.source,
    ]


def notes(result: Result) -> list[str]:
    each, judged = result.baseline, result.judged
    said = [text for text in (each.expect.miss, each.expect.note) if text]
    if judged.verdict == "failed":
        said.append(judged.words)
    if result.changed:
        said.append(f"With {' '.join(result.changed)}: not the published setting.")
    return [f"- `{each.name}`: {note}" for note in said]


def machine() -> str:
    """What was run on, and with what."""
    return (
        f"{processor()}, {cores()} cores, {platform.system()}; fedrun {fedrun.__version__}, "
        f"torch {version('torch')}, Python {platform.python_version()}."
    )


def processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def cores() -> int:
    return os.cpu_count() or 1


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
