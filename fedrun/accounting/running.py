"""Epsilon after each release of a run, thousands of times: quick, and never below the truth.

The least of RDP at the releases so far and of PLD at the next point of a grid of counts, each eight
points to the double. It depends on the releases alone, not on when it was asked before: a run that
was killed tells the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, inf, log2, sqrt
from typing import TYPE_CHECKING, Any

from fedrun.accounting.bounds import check_delta
from fedrun.accounting.gaussian import gaussian_epsilon
from fedrun.accounting.parts import Parts, parts
from fedrun.accounting.pld import MOST_KINDS, bound
from fedrun.accounting.rdp import each_kind

if TYPE_CHECKING:  # it imports PyTorch, which nothing here needs
    from fedrun.core.privacy import Event, Relation

INTERVAL = 1e-3
SAYS_SOMETHING = 50.0  # above this epsilon nobody needs a second opinion
STEPS = 8  # points of the grid of counts to the double: at most 9 % more releases, 5 % epsilon


def running_epsilon(events: Sequence[tuple[Event, int]], delta: float, relation: Relation) -> float:
    """An upper bound on epsilon; it grows with every release. See `parts` for `events`."""
    check_delta(delta)
    found = parts(events, relation)
    if found.unprotected:
        return inf
    if found.all_gaussian:
        return of_gaussian(found.gaussian, delta)
    quick = min(bound(found, delta), found.pure)
    few = found.kinds <= MOST_KINDS
    if found.fixed or delta <= 0 or SAYS_SOMETHING < quick < inf or not (few or quick == inf):
        return quick
    return min(quick, by_grid(ahead(found), delta))


@lru_cache(maxsize=1024)
def of_gaussian(mu_squared: float, delta: float) -> float:
    return gaussian_epsilon(1 / sqrt(mu_squared), delta) if mu_squared else 0.0


Ahead = tuple[tuple[str, tuple[Any, ...], int], ...]


def ahead(found: Parts) -> Ahead:
    """The parts, each as often as at its next point of the grid: (kind, key, count) in order."""
    listed = [
        (kind, key, next_count(count))
        for kind, merged in each_kind(found)
        for key, count in sorted(merged.items())
    ]
    if found.gaussian:
        listed.append(("gaussian", (1 / sqrt(next_power(found.gaussian)),), 1))
    return tuple(listed)


def next_count(count: int) -> int:
    """The least point of the grid that is not below: all small counts are points."""
    step = ceil(STEPS * log2(count)) if count > 2 * STEPS else 0
    return (
        next(
            (n for s in (step - 1, step, step + 1) if (n := ceil(2 ** (s / STEPS))) >= count), count
        )
        if step
        else count
    )


def next_power(amount: float) -> float:
    """As `next_count`, of an amount that need not be whole."""
    step = ceil(STEPS * log2(amount))
    return float(max(amount, 2.0 ** (step / STEPS)))


@lru_cache(maxsize=1024)
def by_grid(listed: Ahead, delta: float) -> float:
    from fedrun.accounting.convolution import composed_epsilon

    return composed_epsilon(listed, delta, INTERVAL)
