"""The root keys of a config: everything that belongs to no group."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fedrun.core.option import Count, Size, at_least, between
from fedrun.experiment import accept, bind, choices, suggest

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Who could take part, and who does.

    count: clients in all (at least 1; null: as many as the data name)
    per_round: how many take part in a round: a whole number, or a fraction of all (1.0 is all)
    sampling: every client with the same chance, by a coin of its own (poisson: per_round come on
        average), in proportion to its examples (size), one after the other in the order of their
        numbers (cyclic), or in a new order each time round (shuffled)
    test_fraction: so much of what a client holds is its own test set, in the place of a share of
        the data's (null: a share of the data's; above 0 and below 1)
    unseen: so many of all clients never take part, and are scored apart: a fraction (0 to below 1),
        or their numbers
    """

    count: Count | None
    per_round: Annotated[int, at_least(1)] | Annotated[float, between(0, 1, open_low=True)]
    sampling: Literal["uniform", "poisson", "size", "cyclic", "shuffled"]
    test_fraction: Annotated[float, between(0, 1, open_low=True, open_high=True)] | None
    unseen: Annotated[float, between(0, 1, open_high=True)] | list[Size]


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Where a run is written.

    root: the folder of all runs
    dir: this run's own folder (null: root/name/overrides-hash)
    """

    root: str
    dir: str | None


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """When the global model is scored.

    every: rounds between two evaluations (0: only at the end)
    objective: whether it is scored on all training rows of the clients that take part too, which is
        what most methods minimise (`objective/*`)
    """

    every: Size
    objective: bool


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a killed run can go on from.

    every: rounds between two checkpoints (0: only at the end; null: when 5 seconds have passed)
    keep: how many of the newest are kept
    """

    every: Size | None
    keep: Count


@dataclass(frozen=True, kw_only=True)
class Stop:
    """When to end early.

    metric: the figure that decides, such as test/accuracy (null: all rounds are run)
    value: end when the metric has reached it
    patience: end when so many evaluations in a row brought nothing better
    """

    metric: str | None
    value: float | None
    patience: Count | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The root keys.

    rounds: how many rounds are run (0: only the first model is scored)
    seed: every random number follows from it
    name: of the folder under run.root (null: the config's name)
    device: cpu, cuda, or auto: cuda where there is one
    """

    rounds: Size
    seed: Annotated[int, between(0, 2**63 - 1)]
    name: str | None
    device: Literal["cpu", "cuda", "auto"]
    clients: Clients
    run: RunPlace
    evaluate: Evaluate
    checkpoint: Checkpoint
    stop: Stop


def read_settings(values: Mapping[str, Any]) -> Settings:
    """The root keys of a composed config, checked; refuses keys that are nobody's."""
    groups = choices.groups()
    root = {key: value for key, value in values.items() if key not in groups}
    known = [key for key in choices.keys(values) if key.partition(".")[0] in choices.root()]
    converted, problems = bind.examine("", Settings, root, [*known, *groups])
    for group in groups:
        node = values.get(group)
        if group in choices.SEVERAL and isinstance(node, Mapping) and node.keys() != {"name"}:
            problems += _several(group, node)
        elif not (isinstance(node, Mapping) and isinstance(node.get("name"), str)):
            names = ", ".join(choices.choices(group))
            problems.append(f"{group} has no name: choose one with {group}=NAME (choices: {names})")
    name = converted.get("name")
    if isinstance(name, str) and (not NAME.fullmatch(name) or name in (".", "..")):
        problems.append(
            f"name={accept.shown(name)} is not accepted"
            " (accepted: 1 to 64 letters, digits, dots, dashes and underscores)"
        )
    place = converted.get("run")
    if place is not None and "" in (place.root, place.dir):
        key = "run.root" if place.root == "" else "run.dir"
        problems.append(f"{key}='' is not accepted (accepted: the path of a folder)")
    problems += _stop(converted.get("stop"))
    bind.refuse(problems)
    return Settings(**converted)


def _several(group: str, node: Mapping[str, Any]) -> list[str]:
    problems = [] if node else [f"{group} has no name: choose one with {group}=NAME"]
    for key, options in node.items():
        if key == "name":
            continue  # none, beside what the others say
        if key in choices.choices(group) and not isinstance(options, Mapping):
            problems.append(f"{group}.{key} is a set of keys; see 'fedrun list {group}'")
        elif not isinstance(options, Mapping):
            problems.append(suggest.no_key(f"{group}.{key}", choices.keys({group: node})))
        elif not isinstance(options.get("name"), str):
            problems.append(f"{group}.{key} has no effect: {key} is not chosen")
    return problems


def _stop(stop: Stop | None) -> list[str]:
    if stop is None:
        return []
    goals = {"stop.value": stop.value, "stop.patience": stop.patience}
    given = [f"{key}={accept.shown(goal)}" for key, goal in goals.items() if goal is not None]
    if stop.metric is None and given:
        return [f"{given[0]} has no effect without stop.metric, such as stop.metric=test/accuracy"]
    if stop.metric is not None and not given:
        return [f"stop.metric={stop.metric} has no effect without stop.value or stop.patience"]
    return []
