"""One number of a run, by a named protocol.

The same curve gives 0.87 as its last round, 0.89 as its best, 0.88 as the mean of its last ten: a
number without its protocol says little, so the two are never apart here.

`rounds_to` is McMahan's (AISTATS 2017, section 3): the curve is made monotone (the best so far),
and its crossing of the target found by linear interpolation between two evaluations. `first_to` is
the first evaluated round that meets the target; `round` the value in that very round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any

from fedrun.core.metric import is_better
from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.files import read_json_lines

PLAIN = ("last", "best")
NUMBERED = ("mean_last", "rounds_to", "first_to", "round")
WHOLE = ("mean_last", "round")
WORDS = {
    "last": "last round",
    "best": "best round",
    "mean_last": "mean of the last {:g} rounds",
    "rounds_to": "rounds to {:g} (best so far, interpolated)",
    "first_to": "first round with {:g}",
    "round": "round {:g}",
}

Lines = Sequence[Mapping[str, Any]]  # of metrics.jsonl


@dataclass(frozen=True)
class Protocol:
    """How a curve becomes a number; `number` is its K, its target or its round."""

    kind: str
    number: float = 0.0

    def __str__(self) -> str:
        return WORDS[self.kind].format(self.number)

    @property
    def needs(self) -> int:
        """How many rounds there must be for it."""
        return int(self.number) if self.kind in WHOLE else 1

    @property
    def counts_rounds(self) -> bool:
        return self.kind in ("rounds_to", "first_to")


@dataclass(frozen=True)
class Figure:
    """`value` is None where the target was not reached in `rounds`, the rounds that were run;
    `round` is where it was best or reached, or the last one."""

    value: float | None
    round: float
    rounds: int


def read_protocol(text: str) -> Protocol:
    """
    >>> read_protocol("mean_last 10")
    Protocol(kind='mean_last', number=10.0)
    """
    kind, _, number = text.strip().partition(" ")
    if kind in PLAIN and not number:
        return Protocol(kind)
    if kind in NUMBERED and re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", number.strip()):
        found = Protocol(kind, float(number))
        if kind not in WHOLE or (found.number >= 1 and found.number.is_integer()):
            return found
    raise ConfigError(
        f"protocol={text!r} is not known (accepted: last, best, mean_last K, rounds_to TARGET, "
        f"first_to TARGET, round N)"
    )


def read_figure(run: Path, metric: str, protocol: Protocol, rounds: int | None = None) -> Figure:
    """A run directory's figure; of its first `rounds`, should it have been made longer since."""
    lines = read_json_lines(run / "metrics.jsonl")
    if rounds is not None:
        lines = [line for line in lines if line["round"] <= rounds]
    try:
        return figure(lines, metric, protocol)
    except RunError as error:
        raise RunError(f"{run}: {error}") from error


def figure(lines: Lines, metric: str, protocol: Protocol) -> Figure:
    """The figure of a run whose metrics are `lines`; RunError where it cannot be had from them."""
    curve = course(lines, metric)
    rounds = int(lines[-1]["round"])
    better = is_better(metric)
    if protocol.kind == "last":
        return Figure(curve[-1][1], curve[-1][0], rounds)
    if protocol.kind == "best":
        at, value = max(curve, key=lambda point: worth(better, point[1]))
        return Figure(value, at, rounds)
    if protocol.kind == "mean_last":
        return _mean_last(curve, int(protocol.number), rounds)
    if protocol.kind == "round":
        return _in_round(curve, int(protocol.number), rounds)
    crossing = _crossing(curve, protocol.number, better, protocol.kind == "rounds_to")
    return Figure(crossing, rounds if crossing is None else crossing, rounds)


def worth(better: int, value: float) -> float:
    """The more, the better; what is no number is worse than any."""
    return -inf if isnan(value) else better * value


def course(lines: Lines, metric: str) -> list[tuple[int, float]]:
    """Where the metric was measured: (round, value)."""
    curve = [(int(line["round"]), float(line[metric])) for line in lines if metric in line]
    if not curve:
        known = dict.fromkeys(name for line in lines for name in line if "/" in name)
        names = ", ".join(name for name in known if not name.startswith("time/"))
        raise RunError(f"{metric} was not measured (measured: {names or 'nothing'})")
    return curve


def _mean_last(curve: list[tuple[int, float]], count: int, rounds: int) -> Figure:
    if rounds < count:
        had = f"{rounds} round{'s' * (rounds != 1)}"
        raise RunError(f"the mean of the last {count} rounds cannot be had from {had}")
    values = [value for at, value in curve if at > rounds - count]
    if not values:
        raise RunError(f"nothing was scored in the last {count} rounds; see evaluate.every")
    return Figure(sum(values) / len(values), rounds, rounds)


def _in_round(curve: list[tuple[int, float]], wanted: int, rounds: int) -> Figure:
    for at, value in curve:
        if at == wanted:
            return Figure(value, at, rounds)
    raise RunError(f"nothing was scored in round {wanted}, of {rounds} rounds; see evaluate.every")


def _crossing(
    curve: list[tuple[int, float]], target: float, better: int, interpolated: bool
) -> float | None:
    """The round at which the target is met; None where it never is."""
    before: tuple[int, float] | None = None
    for at, value in curve:
        if isnan(value):
            continue
        if better * value >= better * target:
            if before is None or not interpolated:
                return float(at)
            return before[0] + (at - before[0]) * (target - before[1]) / (value - before[1])
        best = value if before is None else better * max(better * before[1], better * value)
        before = at, best
    return None
