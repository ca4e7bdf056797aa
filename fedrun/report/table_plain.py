"""A comparison for other programs: every number in full, as CSV and as JSON."""

from __future__ import annotations

import csv
from dataclasses import asdict
from io import StringIO
from typing import Any

from fedrun.report.comparison import Comparison, Group
from fedrun.report.comparison_pair import Pair
from fedrun.report.statistics import Spread


def as_csv(comparison: Comparison) -> str:
    """A line a group: its keys, n, the figure's statistics, the mean and sd of each column."""
    rows = [_row(comparison, group) for group in comparison.groups]
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(comparison: Comparison, group: Group) -> dict[str, Any]:
    found = group.figures["value"]
    row: dict[str, Any] = {key: group.texts[key] for key in comparison.grouping.keys}
    row |= {"metric": comparison.metric, "at": at_word(comparison), "n": len(group.runs)}
    row |= {"reached": group.reached["value"]} if comparison.at.counts_rounds else {}
    row |= _statistics(found)
    for name in comparison.columns:
        if name != "value":
            other = group.figures.get(name)
            row |= {name: other and other.mean, f"{name}_sd": other and other.sd}
    return row


def _statistics(found: Spread | None) -> dict[str, float | None]:
    names = ("mean", "sd", "low", "high")
    return {name: None if found is None else getattr(found, name) for name in names}


def at_word(comparison: Comparison) -> str:
    """The protocol as --at takes it."""
    at = comparison.at
    return at.kind if at.kind in ("last", "best") else f"{at.kind}:{at.number:g}"


def as_json(comparison: Comparison, pair: Pair | None) -> dict[str, Any]:
    """All of it, with the runs and seeds behind each number."""
    return {
        "schema": 1,
        "metric": comparison.metric,
        "at": at_word(comparison),
        "target": comparison.target,
        "level": 0.95,
        "over": comparison.over,
        "keys": comparison.grouping.keys,
        "groups": [_group(group) for group in comparison.groups],
        "paired": _paired(pair) if pair else None,
        "notes": comparison.notes,
    }


def _group(group: Group) -> dict[str, Any]:
    columns = {
        name: None if found is None else asdict(found)
        for name, found in group.figures.items()
        if name != "value"
    }
    return {
        "name": group.name,
        "keys": group.texts,
        "n": len(group.runs),
        "reached": group.reached["value"],
        **_statistics(group.figures["value"]),
        "columns": columns,
        "runs": [
            {"path": str(run.record.path), "seed": run.record.seed, **run.numbers}
            for run in group.runs
        ],
    }


def _paired(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first.name,
        "second": pair.second.name,
        "seeds": pair.seeds,
        "difference": asdict(pair.result.difference),
        "t": pair.result.t,
        "t_p": pair.result.t_p,
        "wilcoxon_p": pair.result.exact_p,
        "cautions": pair.cautions,
    }
