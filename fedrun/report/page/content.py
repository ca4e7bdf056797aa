"""What a page is made of: the runs, how they compare, and what must be said of the rest.

All statistics are those of `fedrun.report.comparison`; further figures (losses, bytes, spread over
clients) are further comparisons of the same runs. Only `fedrun compare` insists on a figure: a page
on runs that were never scored still tells who held what, and how to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fedrun.core.option import ConfigError
from fedrun.report.collect import collect
from fedrun.report.collect_lines import read_columns
from fedrun.report.collect_run import Record, read_records
from fedrun.report.comparison import Comparison, Group, compare, left_out, told
from fedrun.report.comparison_groups import Grouping, grouped, label
from fedrun.report.comparison_measure import DEFAULT, Question
from fedrun.report.figure import Protocol
from fedrun.report.page.names import short_names
from fedrun.report.page.palette import SERIES
from fedrun.report.runs import read_run

ALONE = "this run"  # the name of a group that is a single run, where there is no other
UNSCORED = "train/loss"  # what there is before anything is scored


@dataclass(frozen=True)
class Asked:
    """What the command line asks; `held`: show who held what even of runs that claim privacy."""

    question: Question
    by: Sequence[str] = ()
    unfinished: bool = False
    title: str | None = None
    held: bool = False
    words: Sequence[str] = ()  # of the command line that make the same comparison


@dataclass(frozen=True)
class Method:
    """A group of runs; `short`: its name in a picture; `look`: which colour is its own, None where
    there are too many."""

    texts: dict[str, str]
    name: str
    short: str
    records: list[Record]
    group: Group | None
    look: int | None


@dataclass(frozen=True)
class Other:
    """A run that is not counted, and why."""

    path: Path
    status: str
    why: str


@dataclass(frozen=True)
class Content:
    asked: Asked
    records: list[Record]
    grouping: Grouping
    methods: list[Method]
    comparison: Comparison | None
    others: list[Other]
    notes: list[str]
    known: list[str]  # what was measured
    _further: dict[str, Comparison | None] = field(default_factory=dict)

    def further(self, metric: str) -> Comparison | None:
        """The same groups by another figure, at their last round; None where nobody measured it."""
        if metric not in self._further:
            self._further[metric] = self._compared(metric)
        return self._further[metric]

    def _compared(self, metric: str) -> Comparison | None:
        if metric not in self.known:
            return None
        question = Question(metric, Protocol("last"))
        try:
            return compare(self.records, question, self.grouping.keys, curves=True)
        except ConfigError:  # known, but of none of the runs that count
            return None

    def of(self, method: Method, metric: str) -> Group | None:
        """A method's group in a further comparison."""
        found = self.further(metric)
        groups = found.groups if found else []
        return next((group for group in groups if group.texts == method.texts), None)


def gather(places: Sequence[Path], asked: Asked) -> Content:
    """Read the runs; ConfigError where there are none, or none that can be read."""
    found = collect(places)
    records, notes = read_records(found.runs, unfinished=True)
    if not asked.unfinished and any(record.status == "finished" for record in records):
        records, notes = read_records(found.runs, unfinished=False)
    known, why = measured(records)
    if sum(map(len, why.values())) == len(records):
        raise ConfigError("\n".join(["no run can be read:", *left_out(why)[:3]]))
    comparison = _comparison(records, asked, known)
    if comparison is None:
        unread = {path for paths in why.values() for path in paths}
        records = [record for record in records if record.path not in unread]
        grouping = grouped(records, asked.by)
        notes = [*notes, *left_out(why)]
    else:
        grouping = comparison.grouping
        records = [run.record for group in comparison.groups for run in group.runs]
        notes = [*notes, *comparison.notes]
    counted = {record.path for record in records}
    others = [_other(path) for path in found.runs if path not in counted]
    methods = _methods(grouping, comparison)
    return Content(
        asked, records, grouping, methods, comparison, others, [*found.notes, *notes], known
    )


def measured(records: Sequence[Record]) -> tuple[list[str], dict[str, list[Path]]]:
    """All that some run has measured, and which runs cannot be read, by the reason."""
    known: dict[str, None] = {}
    why: dict[str, list[Path]] = {}
    for record in records:
        found = told(record.path, why, partial(read_columns, record.path, (), record.rounds))
        known |= dict.fromkeys(found[1] if found else [])
    return list(known), why


def _comparison(records: Sequence[Record], asked: Asked, known: Sequence[str]) -> Comparison | None:
    """As asked; of runs without a score, of their training; None where there is no figure."""
    metric = asked.question.metric
    if metric is None and not any(name in known for name in DEFAULT):
        if UNSCORED not in known:
            return None
        metric = UNSCORED
    question = Question(metric, asked.question.at, asked.question.target)
    return compare(records, question, asked.by, curves=True)


def _methods(grouping: Grouping, comparison: Comparison | None) -> list[Method]:
    found: list[tuple[dict[str, str], list[Record], Group | None]]
    if comparison is None:
        found = [
            (dict(zip(grouping.keys, texts, strict=True)), records, None)
            for texts, records in grouping.members.items()
        ]
    else:
        found = [
            (group.texts, [run.record for run in group.runs], group) for group in comparison.groups
        ]
    looks = _looks([group for *_, group in found], comparison)
    alone = len(found) == 1 and len(found[0][1]) == 1
    names = [label({key: texts[key] for key in grouping.shown}) for texts, *_ in found]
    names = [ALONE] if alone else names
    together = zip(found, names, short_names(names), looks, strict=True)
    return [
        Method(texts, name, short, records, group, look)
        for (texts, records, group), name, short, look in together
    ]


def _looks(groups: Sequence[Group | None], comparison: Comparison | None) -> list[int | None]:
    """Colours in the order of the table; of many groups the best have one."""
    if len(groups) <= SERIES or comparison is None:
        return [at if at < SERIES else None for at in range(len(groups))]
    from fedrun.core.metric import is_better

    less = comparison.at.counts_rounds or is_better(comparison.metric) < 0

    def worth(at: int) -> tuple[bool, float]:
        group = groups[at]
        found = group.figures["value"] if group else None
        return found is None, 0.0 if found is None else found.mean * (1 if less else -1)

    best = set(sorted(range(len(groups)), key=worth)[:SERIES])
    numbers = iter(range(SERIES))
    return [next(numbers) if at in best else None for at in range(len(groups))]


def _other(path: Path) -> Other:
    run = read_run(path, None)
    if run.error:
        return Other(path, run.status, run.error)
    if run.status != "finished":
        done = "" if run.round is None else f"round {run.round} of {run.rounds}"
        return Other(path, run.status, done)
    return Other(path, run.status, "see the notes")
