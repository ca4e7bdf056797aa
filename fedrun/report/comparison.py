"""Methods against each other: groups of runs that differ in nothing but the seed, and the mean,
spread and cost of each.

Nothing is dropped in silence: what is left out, counted once or averaged over is among the notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeVar

from fedrun.core.metric import is_better
from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.suggest import did_you_mean, nearest
from fedrun.report.collect_run import Record
from fedrun.report.comparison_groups import Grouping, grouped, label, natural, same_run
from fedrun.report.comparison_measure import DEFAULT, Measured, Question, Read, measure, read
from fedrun.report.figure import Protocol
from fedrun.report.statistics import Spread, spread

T = TypeVar("T")
MOST = 5  # reasons for leaving runs out that are told one by one

# In the order of the table.
COLUMNS = (
    "value", "round", "bytes", "seconds", "target_rounds", "target_bytes", "target_seconds",
    "worst10", "epsilon",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Runs of one method. `texts`: its keys; `figures`: each column over its runs, None where a
    target was not reached by all; `reached`: by how many."""

    texts: dict[str, str]
    name: str
    runs: list[Measured]
    figures: dict[str, Spread | None]
    reached: dict[str, int]

    @property
    def seeds(self) -> list[int]:
        return sorted({run.record.seed for run in self.runs if run.record.seed is not None})


@dataclass(frozen=True)
class Comparison:
    metric: str
    at: Protocol
    target: float | None
    grouping: Grouping
    groups: list[Group]
    columns: list[str]
    notes: list[str]

    @property
    def over(self) -> str:
        """What the statistics are over: `seeds`, or `runs` where other keys differ too."""
        return "runs" if self.grouping.averaged or "seed" in self.grouping.keys else "seeds"


def compare(
    records: Sequence[Record],
    question: Question,
    by: Sequence[str] = (),
    sort: str | None = None,
    *,
    curves: bool = False,
) -> Comparison:
    """The comparison of these runs; ConfigError where nothing of it can be had.

    curves: keep what a picture needs.
    """
    notes: list[str] = []
    records = _once(records, notes)
    notes += data_notes(records)
    why: dict[str, list[Path]] = {}
    readings = [
        reading
        for record in records
        if (reading := told(record.path, why, partial(read, record, question.metric)))
    ]
    if not readings:
        raise _nothing([*notes, *left_out(why)])
    metric = _metric(question.metric, readings, left_out(why))
    measured = [
        run
        for each in readings
        if (run := told(each.record.path, why, partial(measure, each, metric, question, curves)))
    ]
    notes += left_out(why)
    if not measured:
        raise _nothing(notes)
    grouping = grouped([run.record for run in measured], by)
    groups = _groups(grouping, measured)
    present = {name for run in measured for name in run.numbers}
    if question.at.counts_rounds:
        present.discard("round")  # the figure itself
    columns = [name for name in COLUMNS if name in present]
    groups = _sorted(groups, sort, metric, question.at, columns)
    notes += _group_notes(grouping, groups)
    return Comparison(metric, question.at, question.target, grouping, groups, columns, notes)


def _nothing(notes: Sequence[str]) -> ConfigError:
    return ConfigError("\n".join(["no run has a figure to compare:", *notes[-3:]]))


def told(path: Path, why: dict[str, list[Path]], work: Callable[[], T]) -> T | None:
    """What `work` gives, or None and the reason why this run is left out."""
    try:
        return work()
    except RunError as error:
        words = str(error).partition("\n")[0]
        why.setdefault(words, []).append(path)
        return None


def left_out(why: Mapping[str, Sequence[Path]]) -> list[str]:
    """A note for each reason, of the first few."""
    notes = []
    for words, paths in list(why.items())[:MOST]:
        more = f" and {len(paths) - 1} more runs" if len(paths) > 1 else ""
        named = str(paths[0]) in words
        notes.append(f"left out: {words}" if named else f"left out: {paths[0]}{more}: {words}")
    if len(why) > MOST:
        notes.append(f"left out: {sum(map(len, list(why.values())[MOST:]))} more runs")
    return notes


def _once(records: Sequence[Record], notes: list[str]) -> list[Record]:
    """Each config and seed once: the run that ended last."""
    found: dict[object, list[Record]] = {}
    for record in records:
        found.setdefault(same_run(record), []).append(record)
    doubles = [same for same in found.values() if len(same) > 1]
    if doubles:
        one = doubles[0]
        more = f", and so for {len(doubles) - 1} others" if len(doubles) > 1 else ""
        again = sum(map(len, doubles)) - len(doubles)
        words = "1 run repeats" if again == 1 else f"{again} runs repeat"
        notes.append(
            f"{words} another's config and seed, and {'is' if again == 1 else 'are'} not counted "
            f"again: {one[0].path} and {one[1].path}{more}"
        )
    return [max(same, key=lambda r: str(r.manifest.get("ended", ""))) for same in found.values()]


def data_notes(records: Sequence[Record]) -> list[str]:
    """A warning where the runs' data are not the same."""
    names = list(dict.fromkeys(record.data[0] for record in records))
    if len(names) > 1:
        return [f"warning: these runs are of different data sets: {', '.join(names)}"]
    bytes_of: dict[object, set[str]] = {}
    for record in records:
        texts = [record.text(key) for key in record.config if _names_data(key)]
        bytes_of.setdefault(tuple(texts), set()).add(record.data[1])
    if any(len(hashes) > 1 for hashes in bytes_of.values()):
        return [f"warning: the data {names[0]!r} of these runs are not the same bytes"]
    return []


def _names_data(key: str) -> bool:
    return key in ("seed", "data") or (key.startswith("data.") and key != "data.root")


def _metric(asked: str | None, readings: Sequence[Read], unread: Sequence[str]) -> str:
    """The metric to compare; ConfigError where nobody measured it."""
    known = list(dict.fromkeys(name for reading in readings for name in reading.known))
    measured = [set(reading.known) for reading in readings]
    if asked is None:
        for name in DEFAULT:
            if measured and all(name in names for names in measured):
                return name
        asked = next((name for name in DEFAULT if name in known), DEFAULT[0])
    if not any(asked in line for reading in readings for line in reading.lines):
        figures = [name for name in known if not name.startswith("time/")]
        near = did_you_mean(nearest(asked, figures))
        said = (
            f"{asked} was measured in none of {len(readings)} run{'s' * (len(readings) != 1)}{near}"
            f" (measured: {', '.join(figures) or 'nothing'})"
        )
        raise ConfigError("\n".join([said, *unread[:3]]))
    return asked


def _groups(grouping: Grouping, measured: Sequence[Measured]) -> list[Group]:
    by_path = {run.record.path: run for run in measured}
    groups = []
    for texts, records in grouping.members.items():
        runs = [by_path[record.path] for record in records]
        runs.sort(key=lambda run: (run.record.seed is None, run.record.seed))
        keys = dict(zip(grouping.keys, texts, strict=True))
        name = label({key: keys[key] for key in grouping.shown})
        groups.append(Group(keys, name, runs, *_figures(runs)))
    return groups


def _figures(runs: Sequence[Measured]) -> tuple[dict[str, Spread | None], dict[str, int]]:
    figures: dict[str, Spread | None] = {}
    reached: dict[str, int] = {}
    for name in COLUMNS:
        values = [run.numbers[name] for run in runs if name in run.numbers]
        known = [value for value in values if value is not None]
        if values:
            figures[name] = spread(known) if len(known) == len(runs) else None
            reached[name] = len(known)
    return figures, reached


def _sorted(
    groups: list[Group], sort: str | None, metric: str, at: Protocol, columns: Sequence[str]
) -> list[Group]:
    """By a column, the better first, or by a key; a leading - turns it round."""
    if sort is None:
        return groups
    name, keys = sort.removeprefix("-"), list(groups[0].texts)
    known = [*columns, "n", *keys]
    name = "value" if name == metric else name
    if name not in known:
        near = did_you_mean(nearest(name, known))
        raise ConfigError(f"--sort {sort} is no column{near} (columns: {', '.join(known)})")
    less_first = at.counts_rounds or is_better(metric) < 0 if name == "value" else name != "worst10"

    sign = 1 if less_first else -1
    sign = -sign if sort.startswith("-") else sign

    def worth(group: Group) -> float:  # what was not reached comes last, both ways
        if name == "n":
            return sign * len(group.runs)
        found = group.figures.get(name)
        return inf if found is None else sign * found.mean

    if name in columns or name == "n":
        return sorted(groups, key=worth)
    return sorted(groups, key=lambda g: natural(g.texts[name]), reverse=sort.startswith("-"))


def _group_notes(grouping: Grouping, groups: Sequence[Group]) -> list[str]:
    notes = []
    for key, other in grouping.along.items():
        pairs = dict.fromkeys(f"{g.texts[key]} ({g.texts[other]})" for g in groups)
        notes.append(f"{key} goes with {other}: {', '.join(pairs)}")
    for key in grouping.averaged:
        texts = {run.record.text(key) for group in groups for run in group.runs}
        values = ", ".join(sorted(texts, key=natural))
        notes.append(f"averaged over {key}: {values} (sd and interval hold its effect too)")
    sets = Counter(tuple(group.seeds) for group in groups)
    if len(sets) > 1:
        notes.append("the groups have different seeds; n says how many")
    return notes
