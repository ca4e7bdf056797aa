"""Bounds that follow from others: for groups, and for a crowd behind a shuffler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, expm1, inf, log, log1p, sqrt
from typing import TYPE_CHECKING

from fedrun.accounting import pld
from fedrun.accounting.bounds import bounds, check_delta
from fedrun.accounting.parts import IN_ALL, parts
from fedrun.core.option import ConfigError

if TYPE_CHECKING:  # it imports PyTorch, which nothing here needs
    from fedrun.core.privacy import Event, Relation

ADDITIVE = ("gaussian", "laplace", "tree", "banded")


def group_bound(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """(epsilon, delta) of a group of so many, from that of one, one after another (M17).

    delta (e^(k epsilon) - 1) / (e^epsilon - 1), at most k e^((k - 1) epsilon) delta (Vadhan 2017,
    lemma 2.2). It is a bound for a group: that a client's examples are such a group does not
    make it the guarantee of a client-level mechanism.

    >>> epsilon, delta = group_bound(0.5, 1e-6, 2)
    >>> epsilon, round(delta, 10)
    (1.0, 2.6487e-06)
    """
    if size < 1:
        raise ConfigError(f"a group of {size} is not accepted (accepted: at least 1)")
    if epsilon == inf or size * epsilon > 700:
        return size * epsilon, 1.0
    factor = expm1(size * epsilon) / expm1(epsilon) if epsilon > 0 else float(size)
    return size * epsilon, min(1.0, factor * delta)


def group_epsilon(
    events: Sequence[tuple[Event, int]], size: int, delta: float, relation: Relation
) -> float:
    """Epsilon of a group of so many, at the same delta.

    Where nobody is drawn by chance, the group moves the sum `size` times as far, and that is all.
    Under sampling its members are drawn apart: there it is `group_bound` of the best delta for one.
    """
    check_delta(delta)
    if size < 1:
        raise ConfigError(f"a group of {size} is not accepted (accepted: at least 1)")
    plain = all(e.mechanism in ADDITIVE and e.sampling.scheme in IN_ALL for e, _ in events)
    if plain or size == 1:
        farther = [
            (replace(event, noise_multiplier=event.noise_multiplier / size), count)
            for event, count in events
        ]
        return bounds(farther, delta, relation)[0].epsilon
    found = parts(events, relation)
    if delta == 0 or found.unprotected:
        return size * found.pure
    loss = None if pld.refused(found) else pld.compose(found, 1e-3)

    def one(delta: float) -> float:
        by_pld = inf if loss is None else pld.read(loss, delta)
        return min(by_pld, pld.bound(found, delta), found.pure)

    low, high = log(delta) - 600.0, log(delta)
    while high - low > 1e-4:  # the largest delta for one that leaves the group within its own
        middle = (low + high) / 2
        within = group_bound(one(exp(middle)), exp(middle), size)[1] <= delta
        low, high = (middle, high) if within else (low, middle)
    epsilon = one(exp(low))
    return size * epsilon if group_bound(epsilon, exp(low), size)[1] <= delta else inf


def shuffle_epsilon(local: float, delta: float, clients: int) -> float:
    """Central epsilon where a shuffler mixes so many answers, each private with epsilon `local`
    and delta 0 (Feldman, McMillan and Talwar 2021, theorem 3.1). It holds where there is one.

    >>> round(shuffle_epsilon(1.0, 1e-6, 10_000), 4)
    0.214
    """
    if not 0 < delta < 1 or clients < 1 or local < 0:
        raise ConfigError(
            "the shuffle bound needs delta between 0 and 1, clients >= 1, epsilon >= 0"
        )
    most = log(clients / (16 * log(2 / delta)))
    if local > most:
        raise ConfigError(
            f"the shuffle bound holds up to a local epsilon of {max(most, 0.0):.3g} "
            f"for {clients} clients and delta={delta:g}, not for {local:g}"
        )
    grown = exp(local)
    spread = 8 * sqrt(grown * log(4 / delta) / clients) + 8 * grown / clients
    return log1p(expm1(local) / (grown + 1) * spread)
