"""What a tracker is: somebody else's tool, which shows the figures of a run.

`metrics.jsonl` is the truth, and a tracker tells it again: what a tool shows is a function of the
run directory, however often the run was killed and gone on with.

    tracker=NAME > factory(options) -> Tracker > start(run) -> Session > log, artifact, finish

A factory imports its library and touches nothing. All four functions may fail as they like: the
program warns once and leaves the tracker out; the run goes on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedrun.core.option import ConfigError

Status = Literal["finished", "interrupted", "failed"]
Row = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """A run, as a tracker is told of it.

    key: 16 hexadecimal digits, the same whenever this run is told of, others for any other run
    name, group: of the run directory, and of the folder that it lies in
    folder, root: the run directory, and the folder of all runs; both as the user writes them
    config: the hyperparameters, nested as in config.yaml, without what says only where things lie
    facts: hashes, versions, the number of parameters
    started: seconds since 1970
    history: the rounds that are done, as `metrics.jsonl` has them
    """

    key: str
    name: str
    group: str
    folder: Path
    root: Path
    config: Mapping[str, Any]
    facts: Mapping[str, str | int]
    started: float
    history: Sequence[Row]


def ignore(_: Any) -> None:
    """For a tool that has no place for this."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """An open connection to a tool.

    log: (figures, round, seconds since 1970 by the run's own clock); rounds come in order, those of
        `history` first
    artifact: (the final model's file), after the last round
    finish: (how it ended), last of all, also after a failure
    known: rounds of `history`, from the first on, that the tool shows already and is not told again
    """

    log: Callable[[Row, int, float], None]
    artifact: Callable[[Path], None] = ignore
    finish: Callable[[Status], None] = ignore
    known: int = 0


@dataclass(frozen=True)
class Tracker:
    """A tool, ready to be told of a run; whatever it showed of this run before is replaced."""

    start: Callable[[Tracked], Session]


def figures_of(row: Row) -> dict[str, float]:
    """What a tool is told of a line of `metrics.jsonl`: all of it but the round."""
    return {name: value for name, value in row.items() if name != "round"}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under their full keys, a group's choice under the group's own name.

    >>> flat({"rounds": 2, "algorithm": {"name": "fedprox", "mu": 0.1}})
    {'rounds': 2, 'algorithm': 'fedprox', 'algorithm.mu': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix[:-1] if prefix and key == "name" else f"{prefix}{key}"] = value
    return found


def library(name: str) -> Any:
    """A module of a tool; a ConfigError that says how to get it where it is not installed."""
    top = name.partition(".")[0]
    missing = f"tracker={top} needs an extra that is not installed: pip install 'fedrun[{top}]'"
    try:
        found, whole = importlib.import_module(name), importlib.import_module(top)
    except Exception as error:  # a library that is half installed may fail in any way
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == top:
            raise ConfigError(missing) from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"tracker={top}: {top} cannot be imported: {reason[:300]}") from error
    # A folder `wandb/` in the current one, as wandb leaves it, can be imported too.
    if getattr(whole, "__file__", None) is None:
        raise ConfigError(missing)
    return found
