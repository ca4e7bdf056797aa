"""The question that the runs answer: what differs between them, and what is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedrun.experiment import choices
from fedrun.report.collect_run import ABSENT, Record
from fedrun.report.comparison_groups import WITHOUT_EFFECT, natural
from fedrun.report.page.content import Content

MOST_VALUES = 12
NO_NAMES = ("train", "null", ABSENT)  # the default config's, and none
ROOT = ("rounds", "clients.count", "clients.per_round", "clients.sampling", "clients.test_fraction",
        "clients.unseen", "evaluate.every")  # fmt: skip
SILENT = ("privacy", "system", "protocol")  # groups that say nothing where they are as by default


@dataclass(frozen=True)
class Fact:
    key: str
    value: str


def title(content: Content) -> str:
    """As asked, else the runs' common name, unless that is everybody's; else their methods."""
    if content.asked.title:
        return content.asked.title
    names = list(dict.fromkeys(record.text("name") for record in content.records))
    if len(names) == 1 and names[0] not in NO_NAMES:
        return names[0]
    algorithms = dict.fromkeys(record.text("algorithm") for record in content.records)
    methods = ", ".join(algorithms) if len(algorithms) < 5 else f"{len(algorithms)} methods"
    data = dict.fromkeys(record.text("data") for record in content.records)
    return f"{methods} on {next(iter(data))}" if len(data) == 1 else methods


def sizes(content: Content) -> str:
    """`20 runs in 4 groups over 5 seeds`."""
    runs, groups = len(content.records), len(content.methods)
    seeds = {record.seed for record in content.records if record.seed is not None}
    words = [_count(runs, "run")]
    if groups > 1:
        words.append(f"in {groups} groups")
    if len(seeds) > 1:
        words.append(f"over {len(seeds)} seeds")
    return " ".join(words)


def differs(content: Content) -> list[Fact]:
    """Each key that tells groups apart, with its values; then the seeds."""
    found = [
        Fact(key, _values([method.texts[key] for method in content.methods]))
        for key in content.grouping.keys
    ]
    found += [
        Fact(key, _values([record.text(key) for record in content.records]))
        for key in content.grouping.averaged
    ]
    if "seed" not in content.grouping.keys:
        seeds = [record.text("seed") for record in content.records]
        if len(set(seeds)) > 1:
            found.append(Fact("seed", _values(seeds)))
    return found


def same(content: Content) -> list[Fact]:
    """What every run has in common: the choices with their options, and the size of it all."""
    records = content.records
    shared = [key for key in records[0].config if _is_shared(key, records)]
    keys = [key for key in ROOT if key in shared and records[0].text(key) not in ("null", "0.0")]
    found = [Fact(key, records[0].text(key)) for key in keys]
    for group in choices.groups():
        if group in ("engine", "tracker") or group not in shared:
            continue
        text = records[0].text(group)
        if group in SILENT and text in ("none", "synchronous"):
            continue
        found.append(Fact(group, _with_options(group, text, shared, records[0])))
    return found


def _is_shared(key: str, records: Sequence[Record]) -> bool:
    return not key.startswith(WITHOUT_EFFECT) and len({r.text(key) for r in records}) == 1


def _with_options(group: str, text: str, shared: Sequence[str], record: Record) -> str:
    """`sgd (lr 0.1, epochs 1)`: the options that are set to something."""
    options = [key for key in shared if key.startswith(f"{group}.")]
    told = [
        f"{key.removeprefix(f'{group}.')} {record.text(key)}"
        for key in options
        if record.text(key) not in ("null", "false", "none", "", "0", "0.0")
    ]
    return f"{text} ({', '.join(told)})" if told else text


def _values(texts: Sequence[str]) -> str:
    found = sorted(set(texts), key=natural)
    more = f" and {len(found) - MOST_VALUES} more" if len(found) > MOST_VALUES else ""
    return ", ".join(found[:MOST_VALUES]) + more


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
