"""Which runs are repetitions of each other: those whose configs differ in nothing but the seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fedrun.core.option import ConfigError
from fedrun.experiment import choices
from fedrun.experiment.suggest import did_you_mean, nearest_key
from fedrun.report.collect_run import ABSENT, Record

# Where a run is kept, who looks on, and with how many processes: no figure depends on these.
# `data.root` is a place too; should other bytes lie there, the manifest tells (see comparison).
WITHOUT_EFFECT = ("run.", "name", "engine.workers", "checkpoint.", "data.root", "tracker")


ALL = "all runs"  # the name of a group that no key tells from another


@dataclass(frozen=True)
class Grouping:
    """`keys` tell the groups apart. `shown` are those of them that a table needs; each other one
    goes with a shown one: `along[key]` is that key. `averaged`: keys that differ inside groups."""

    keys: list[str]
    shown: list[str]
    along: dict[str, str]
    averaged: list[str]
    members: dict[tuple[str, ...], list[Record]]  # by the texts of `keys`


def grouped(records: Sequence[Record], by: Sequence[str] = ()) -> Grouping:
    """Groups by what differs, or `by` these keys alone, in the order of their values."""
    differing = differing_keys(records)
    if by:
        _refuse_unknown(records, by)
    keys = list(dict.fromkeys(by)) or differing
    members: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        members.setdefault(tuple(record.text(key) for key in keys), []).append(record)
    members = dict(sorted(members.items(), key=lambda item: [natural(text) for text in item[0]]))
    shown, along = _needed(keys, list(members)) if not by else (keys, {})
    averaged = [key for key in differing if key not in keys] if by else []
    return Grouping(keys, shown, along, averaged, members)


def differing_keys(records: Sequence[Record]) -> list[str]:
    """Keys with two values or more among the runs that have them; choices of groups come first.

    A key that only some runs have, with one value, is no difference of its own: it belongs to a
    choice that differs, or to another version.
    """
    values: dict[str, set[str]] = {}
    for record in records:
        for key in record.config:
            if not key.startswith(WITHOUT_EFFECT) and key != "seed":
                values.setdefault(key, set()).add(record.text(key))
    groups = list(choices.groups())
    found = [key for key, texts in values.items() if len(texts) > 1]
    found = [key for key in found if not _follows_seed(key, records)]

    def place(key: str) -> tuple[bool, bool, int]:
        group = key.partition(".")[0]
        at = groups.index(group) if group in groups else len(groups)
        return key != "algorithm", key not in groups, at

    return sorted(found, key=place)


def same_run(record: Record) -> tuple[tuple[str, str], ...]:
    """All of a config that a figure depends on, the seed too: two runs that share it are one."""
    keys = (key for key in record.config if not key.startswith(WITHOUT_EFFECT))
    return tuple(sorted((key, record.text(key)) for key in keys))


def natural(text: str) -> tuple[int, float, str]:
    """Numbers by their size, before words; what is absent comes first."""
    if re.fullmatch(r"-?\d+(\.\d*)?([eE][-+]?\d+)?", text):
        return 1, float(text), text
    return (0 if text == ABSENT else 2), 0.0, text


def label(texts: Mapping[str, str]) -> str:
    """The name of a group: `fedprox algorithm.mu=0.1`.

    >>> label({"algorithm": "fedavg", "algorithm.mu": "-", "rounds": "5"})
    'fedavg rounds=5'
    """
    words = [
        text if is_choice(key, text) else f"{key}={text}"
        for key, text in texts.items()
        if text != ABSENT
    ]
    return " ".join(words) or ALL


def is_choice(key: str, text: str) -> bool:
    """Whether a value says by itself what it is of: `fedprox` does, `none` and `sgd` do not."""
    return key == "algorithm" and bool(re.match(r"[A-Za-z_]", text))


def _follows_seed(key: str, records: Sequence[Record]) -> bool:
    """A key such as data.split_seed=${seed} says nothing that the seed does not say."""
    having = [record for record in records if key in record.config]
    return "seed" in key and all(record.config[key] == record.seed for record in having)


def _needed(
    keys: Sequence[str], groups: Sequence[tuple[str, ...]]
) -> tuple[list[str], dict[str, str]]:
    """Keys without those whose value is known from one that stands before it."""
    shown: list[str] = []
    along: dict[str, str] = {}
    column = {key: [texts[at] for texts in groups] for at, key in enumerate(keys)}
    for key in keys:
        for other in shown:
            pairs = sorted(set(zip(column[other], column[key], strict=True)))
            if all(one[0] != next_one[0] for one, next_one in pairwise(pairs)):
                along[key] = other
                break
        else:
            shown.append(key)
    return shown, along


def _refuse_unknown(records: Sequence[Record], by: Sequence[str]) -> None:
    known = list(dict.fromkeys(key for record in records for key in record.config))
    for key in by:
        if key not in known:
            near = did_you_mean(nearest_key(key, known))
            raise ConfigError(
                f"--by {key}: no run has the key {key!r}{near or '; see a config.yaml'}"
            )
