"""The figures of a run that stands alone: its last, its best, and in which round that was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedrun.core.metric import SCORED, is_better
from fedrun.report.collect_lines import read_columns
from fedrun.report.collect_run import Record
from fedrun.report.comparison import told
from fedrun.report.runs import read_run
from fedrun.report.table_layout import figure

SHOWN = (*SCORED, "train/")


@dataclass(frozen=True)
class Named:
    name: str
    last: str
    best: str
    round: str


def single(record: Record, why: dict[str, list[Path]]) -> list[Named]:
    """Of every figure but single clients' own; training has no best round."""
    return told(record.path, why, lambda: _figures(record)) or []


def _figures(record: Record) -> list[Named]:
    known = read_columns(record.path, (), record.rounds)[1]
    known = [name for name in known if name.startswith(SHOWN)]
    lines, _ = read_columns(record.path, known)
    found = []
    for name in known:
        course = [(line["round"], line[name]) for line in lines if name in line]
        if not course or "@" in name or name == "train/examples":
            continue
        at, best = max(course, key=lambda point: is_better(name) * point[1])
        scored = name.startswith(SCORED)
        found.append(Named(name, figure(course[-1][1]), figure(best) if scored else "",
                           f"{at:.0f}" if scored else ""))  # fmt: skip
    return found


def states(records: list[Record]) -> list[str]:
    """A line for each counted run that is not finished, with its error where it has one."""
    found = []
    for record in records:
        if record.status == "finished":
            continue
        run = read_run(record.path, None)
        done = "" if run.round is None else f" after round {run.round} of {run.rounds}"
        words = f"{run.status}{done}" + (f": {run.error}" if run.error else "")
        found.append(words if len(records) == 1 else f"{record.path.name}: {words}")
    return found
