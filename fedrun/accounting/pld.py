"""Privacy loss distributions, by dp-accounting: the tightest accountant, and the default.

Its grid is pessimistic, so what it gives is an upper bound. `compose` is ours: `PLDAccountant`
counts repeated randomized response once.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, sqrt
from typing import Any

import numpy as np

from fedrun.accounting.parts import Parts
from fedrun.accounting.rdp import each_kind, noise_share, quiet, rdp_epsilon
from fedrun.core.option import ConfigError

INTERVAL = 1e-4
MOST_KINDS = 8  # distinct releases before the grid becomes ten times as wide: each costs up to 1 s
FINEST = 1e-6
MOST = 1e9
WIDEST = 700.0  # of a grid: the library takes its exponential


def pld_epsilon(found: Parts, delta: float, interval: float = INTERVAL) -> float:
    """The epsilon of the parts; infinite without noise.

    interval: of the grid of losses. Above an epsilon of 50 it widens in proportion, which costs no
    digit that is shown. Where it is too wide for small losses, as RDP shows, it is narrowed.
    """
    if why := refused(found):
        raise ConfigError(why)
    if found.unprotected:
        return inf
    if delta <= 0:
        return found.pure
    by_rdp = bound(found, delta)
    interval *= max(1.0, by_rdp / 50 if by_rdp < inf else 1.0)
    if found.kinds > MOST_KINDS:
        interval *= 10
    if interval > WIDEST:
        return found.pure
    epsilon = at(found, delta, interval)
    while epsilon > by_rdp and interval > FINEST * 1.5:
        interval /= 10
        epsilon = min(epsilon, at(found, delta, interval))
    return epsilon


def refused(found: Parts) -> str:
    """Why this accountant says nothing of the parts, or nothing."""
    if found.fixed:
        return (
            "PLD knows no fixed-size sampling: which pair of neighbours is the worst is not "
            "proved; accountant=rdp does"
        )
    return ""


def bound(found: Parts, delta: float) -> float:
    """What RDP says, or infinity where it says nothing."""
    from fedrun.accounting import rdp

    return inf if rdp.refused(found) else rdp_epsilon(found, delta)


def at(found: Parts, delta: float, interval: float) -> float:
    """The epsilon on one grid. No loss is larger than the pure epsilon, which the grid may pass."""
    return min(read(compose(found, interval), delta), found.pure)


def read(losses: Any, delta: float) -> float:
    """The epsilon of a distribution; above 700 the library's own reading overflows."""
    try:
        with np.errstate(over="raise"):
            return float(losses.get_epsilon_for_delta(delta))
    except FloatingPointError:
        low, high = 0.0, 1.0
    while losses.get_delta_for_epsilon(high) > delta:
        low, high = high, 2 * high
        if high > MOST:
            return inf
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if losses.get_delta_for_epsilon(middle) > delta else (low, middle)
        )
    return high


def compose(found: Parts, interval: float) -> Any:
    """The distribution of all parts, from those of one release each."""
    total = None
    if found.gaussian:
        total = once("gaussian", (1 / sqrt(found.gaussian),), interval)
    for kind, merged in each_kind(found):
        for key, count in sorted(merged.items()):
            part = once(kind, key, interval).self_compose(count)
            total = part if total is None else total.compose(part)
    if total is None:
        from dp_accounting.pld import privacy_loss_distribution as library

        total = library.identity(value_discretization_interval=interval)
    return total


@lru_cache(maxsize=32)
def once(kind: str, key: tuple[Any, ...], interval: float) -> Any:
    """The distribution of one release."""
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import privacy_loss_distribution as library

    grid = {"value_discretization_interval": interval}
    with quiet():
        if kind == "gaussian":
            return library.from_gaussian_mechanism(key[0], **grid)
        if kind == "poisson":
            return library.from_gaussian_mechanism(key[1], sampling_prob=key[0], **grid)
        if kind == "laplace":
            return library.from_laplace_mechanism(key[1], sampling_prob=key[0], **grid)
        epsilon, classes = key
        return library.from_randomized_response(
            noise_share(epsilon, classes),
            classes,
            neighboring_relation=NeighboringRelation.REPLACE_ONE,
            **grid,
        )
