"""The least noise for a target epsilon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import exp, inf, log
from typing import TYPE_CHECKING

from fedrun.accounting.bounds import Accountant, check_delta, of, refusals
from fedrun.accounting.parts import Parts, parts
from fedrun.core.option import ConfigError

if TYPE_CHECKING:  # it imports PyTorch, which nothing here needs
    from fedrun.core.privacy import Event, Relation

PRECISION = 1e-4  # relative, of the noise; epsilon then stays within 1e-3 below the target
LEAST, MOST = 1e-3, 1e7


def least_noise(
    event: Callable[[float], Event],
    target: float,
    *,
    releases: int,
    delta: float,
    relation: Relation,
    accountant: Accountant | None = None,
) -> float:
    """The least noise multiplier z with which so many releases of `event(z)` stay within `target`.

    accountant: None is the tightest that has a theorem.
    """
    return least_noise_of(
        lambda noise: [(event(noise), releases)],
        target,
        delta=delta,
        relation=relation,
        accountant=accountant,
    )


def least_noise_of(
    events: Callable[[float], Sequence[tuple[Event, int]]],
    target: float,
    *,
    delta: float,
    relation: Relation,
    accountant: Accountant | None = None,
    quick: bool = False,
) -> float:
    """As `least_noise`, for releases of several kinds that all get more private with more noise.

    quick: with PLD on a coarser grid; a little more noise than needed.
    """
    check_delta(delta)
    if not 0 < target < inf:
        raise ConfigError(f"a target epsilon of {target:g} is not accepted (accepted: above 0)")

    def found(noise: float) -> Parts:
        return parts(events(noise), relation)

    name = accountant or tightest(found(1.0))

    def by_rdp(noise: float) -> float:
        return of(found(noise), delta, "rdp")

    if name == "rdp":
        return search(by_rdp, target, 1.0, 1e-7)
    if name == "pld":
        # What is quick asks for more noise: RDP, then a coarse grid, lead close to the fine one.
        has_rdp = "rdp" not in refusals(found(1.0))
        start = search(by_rdp, target, 1.0, 1e-2) if has_rdp else 1.0
        start = search(lambda z: of(found(z), delta, "pld", 1e-3), target, start, 1e-4, step=1.1)
        if quick:
            return start
        fine = lambda z: of(found(z), delta, "pld")  # noqa: E731
        return search(fine, target, start, PRECISION, step=1.0005)
    return search(lambda z: of(found(z), delta, name), target, 1.0, 1e-9)


def tightest(found: Parts) -> Accountant:
    """The accountant with the least epsilon, as far as that is known beforehand."""
    if found.all_gaussian:
        return "exact"
    return "rdp" if "pld" in refusals(found) else "pld"


def with_noise(events: Sequence[tuple[Event, int]], factor: float) -> list[tuple[Event, int]]:
    """The releases with so many times their noise; randomized response has none of its own."""
    return [
        (replace(event, noise_multiplier=event.noise_multiplier * factor), count)
        for event, count in events
    ]


def search(
    epsilon: Callable[[float], float],
    target: float,
    start: float,
    precision: float,
    step: float = 2.0,
) -> float:
    """The least noise with epsilon(noise) <= target, from above; epsilon falls with noise.

    step: factor of the first step from `start`; the next ones grow.
    """
    from scipy.optimize import brentq

    epsilon = lru_cache(maxsize=None)(epsilon)
    low, high, factor = start, start, step
    while epsilon(high) > target:
        low, high, factor = high, high * factor, factor**2
        if high > MOST:
            raise ConfigError(f"no noise brings epsilon down to {target:g} (tried up to {MOST:g})")
    while epsilon(low) <= target:
        high, low, factor = low, low / factor, factor**2
        if low < LEAST:
            raise ConfigError(
                f"a target epsilon of {target:g} needs next to no noise "
                f"(less than {LEAST:g}); take a smaller one"
            )
    if high - low <= precision * high:
        return high

    def excess(log_noise: float) -> float:
        spent = epsilon(exp(log_noise))
        return log(spent / target) if 0 < spent < inf else (1e3 if spent else -1e3)

    found = exp(float(brentq(excess, log(low), log(high), xtol=precision / 2, rtol=1e-15)))
    while epsilon(found) > target:
        found *= 1 + precision / 2
    return found
