"""The numbers of one run that a comparison needs: one by a named protocol, and what it cost.

All of a run's numbers are of one point: the round that its figure is of. That is the last round
for `last` and `mean_last`, the best one for `best`, the first at or after the crossing for
`rounds_to` and `first_to`. What is scored less often is of the newest score up to that round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from fedrun.core.option import ConfigError, RunError
from fedrun.report.collect_lines import Line, read_columns
from fedrun.report.collect_run import Record
from fedrun.report.figure import Figure, Protocol, figure, read_protocol

DEFAULT = ("test/accuracy", "test/loss", "personal/accuracy", "personal/loss")
UP, DOWN = "comm/up_bytes", "comm/down_bytes"
SECONDS = ("system/seconds", "sim/seconds", "system/sim_seconds")  # simulated, not the clock's
EPSILON = "privacy/epsilon"
WORST = "{}/{}_worst10"


@dataclass(frozen=True)
class Question:
    """What is asked of every run; `metric` None: the first of `DEFAULT` that all have."""

    metric: str | None
    at: Protocol
    target: float | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not isfinite(self.target):
            raise ConfigError(f"--target {self.target} is no finite number")


@dataclass(frozen=True)
class Measured:
    """A run and its numbers by column; None where a target was not reached, absent where a run has
    no such number. `lines` hold what a curve needs, where one was asked for."""

    record: Record
    numbers: dict[str, float | None]
    lines: Sequence[Line]


@dataclass(frozen=True)
class Read:
    """A run's needed columns."""

    record: Record
    lines: list[Line]
    known: list[str]


def read_at(text: str) -> Protocol:
    """
    >>> read_at("mean_last:10")
    Protocol(kind='mean_last', number=10.0)
    """
    try:
        return read_protocol(text.replace(":", " ", 1))
    except ConfigError as error:
        raise ConfigError(
            f"--at {text} is not known (accepted: last, best, mean_last:K, rounds_to:X, "
            f"first_to:X, round:N)"
        ) from error


def read(record: Record, metric: str | None) -> Read:
    """What `measure` needs of the run's file; RunError where that is damaged."""
    metrics = [metric] if metric else list(DEFAULT)
    names = dict.fromkeys([*metrics, *map(worst_of, metrics), UP, DOWN, *SECONDS, EPSILON])
    return Read(record, *read_columns(record.path, names, record.rounds))


def measure(run: Read, metric: str, question: Question, keep: bool) -> Measured:
    """RunError where the figure cannot be had."""
    if not any(metric in line for line in run.lines):
        raise RunError(f"{metric} was not measured")
    found = figure(run.lines, metric, question.at)
    numbers: dict[str, float | None] = {"value": found.value}
    numbers |= _costs(run.lines, found, "")
    if (worst := _at(run.lines, worst_of(metric), metric, question.at, found)) is not None:
        numbers["worst10"] = worst
    if (epsilon := _latest(run.lines, found.round, EPSILON)) is not None:
        numbers["epsilon"] = epsilon
    if question.target is not None:
        first = figure(run.lines, metric, Protocol("first_to", question.target))
        numbers |= _costs(run.lines, first, "target_")
    return Measured(run.record, numbers, run.lines if keep else ())


def worst_of(metric: str) -> str:
    """The same figure over the worst tenth of the clients.

    >>> worst_of("test/accuracy"), worst_of("personal/loss")
    ('client/accuracy_worst10', 'personal/loss_worst10')
    """
    who, _, what = metric.partition("/")
    what = what if what in ("accuracy", "loss") else "accuracy"
    return WORST.format(who if who in ("personal", "unseen") else "client", what)


def _costs(lines: Sequence[Line], found: Figure, prefix: str) -> dict[str, float | None]:
    """Rounds, bytes both ways and simulated seconds up to a figure's round."""
    reached = found.value is not None
    name = "target_rounds" if prefix else "round"  # `rounds` is a key of configs
    costs: dict[str, float | None] = {name: found.round if reached else None}
    line: Any = next((line for line in lines if line["round"] >= found.round), {})
    if UP in line or DOWN in line:
        sent = line.get(UP, 0) + line.get(DOWN, 0)
        costs[f"{prefix}bytes"] = sent if reached else None
    for name in SECONDS:
        if name in line:
            costs[f"{prefix}seconds"] = line[name] if reached else None
    return costs


def _at(lines: Sequence[Line], name: str, metric: str, at: Protocol, found: Figure) -> float | None:
    """Another figure at the same point; the mean over the same rounds where the protocol is one."""
    if name == metric or found.value is None or not any(name in line for line in lines):
        return None
    if at.kind == "mean_last":
        try:
            return figure(lines, name, at).value
        except RunError:  # not scored in those rounds
            return None
    return _latest(lines, found.round, name)


def _latest(lines: Sequence[Line], round: float, name: str) -> float | None:
    """The value at a round, or the newest before; a round between two is the later one."""
    here = next((line["round"] for line in lines if line["round"] >= round), round)
    values = [line[name] for line in lines if name in line and line["round"] <= here]
    return values[-1] if values else None
