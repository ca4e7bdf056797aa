"""Renyi differential privacy, by dp-accounting: the second accountant, and the quick one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from math import inf, log
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedrun.accounting.parts import Parts, keep
from fedrun.core.option import ConfigError

Array = npt.NDArray[np.float64]
Conversion = Literal["today", "classic"]
"""From Renyi to (epsilon, delta): today's (Canonne, Kamath, Steinke 2020, proposition 12); classic:
the looser one (Mironov 2017, proposition 3), to compare with published tables, for nothing else."""


def rdp_epsilon(
    found: Parts,
    delta: float,
    conversion: Conversion = "today",
    orders: tuple[float, ...] | None = None,
) -> float:
    """The epsilon of the parts; infinite without noise.

    orders: those of a published table in the place of the library's, which are finer.
    """
    at = usual_orders() if orders is None else orders
    return convert(np.array(at), curve(found, at), delta, conversion)


def curve(found: Parts, orders: tuple[float, ...]) -> Array:
    """Renyi divergence at each order, float64 [orders]."""
    if why := refused(found):
        raise ConfigError(why)
    total = np.zeros(len(orders))
    if found.gaussian:
        total += found.gaussian * np.array(orders) / 2
    for kind, merged in each_kind(found):
        for key, count in sorted(merged.items()):
            total += count * once(kind, key, orders)
    return total


def refused(found: Parts) -> str:
    """Why this accountant says nothing of the parts, or nothing."""
    if any(rate < 1 for rate, _ in found.laplace):
        return "RDP knows no subsampled laplace noise; accountant=pld does"
    return ""


def each_kind(found: Parts) -> list[tuple[str, dict[Any, int]]]:
    """What is composed release by release."""
    return [
        ("poisson", found.poisson),
        ("fixed", found.fixed),
        ("laplace", found.laplace),
        ("response", found.response),
    ]


@cache
def usual_orders() -> tuple[float, ...]:
    """The orders of dp-accounting."""
    from dp_accounting.rdp import rdp_privacy_accountant as library

    return tuple(float(order) for order in library.DEFAULT_RDP_ORDERS)


@lru_cache(maxsize=4096)
def once(kind: str, key: tuple[Any, ...], orders: tuple[float, ...]) -> Array:
    """The curve of one release."""
    import dp_accounting as library
    from dp_accounting.rdp import RdpAccountant

    gaussian, relations = library.GaussianDpEvent, library.NeighboringRelation
    relation = relations.ADD_OR_REMOVE_ONE
    if kind == "poisson":
        rate, multiplier = key
        event = library.PoissonSampledDpEvent(rate, gaussian(multiplier))
    elif kind == "fixed":
        cohort, population, multiplier = key
        event = library.SampledWithoutReplacementDpEvent(population, cohort, gaussian(multiplier))
        relation = relations.REPLACE_ONE
    elif kind == "laplace":
        event = library.LaplaceDpEvent(key[1])
    else:
        epsilon, classes = key
        event = library.RandomizedResponseDpEvent(noise_share(epsilon, classes), classes)
        relation = relations.REPLACE_ONE
    with quiet():
        found: Array = RdpAccountant(orders, relation).compose(event).rdp
    return found


def noise_share(epsilon: float, classes: int) -> float:
    """The chance that randomized response answers at random, the true answer included."""
    return (1 - keep(epsilon, classes)) * classes / (classes - 1)


def convert(orders: Array, curve: Array, delta: float, conversion: Conversion = "today") -> float:
    """The least epsilon that a Renyi curve gives with `delta`."""
    if delta <= 0:
        return inf if curve.any() else 0.0
    if conversion == "classic":
        return float(np.min(curve + log(1 / delta) / (orders - 1)))
    if np.any(delta**2 + np.expm1(-curve) > 0):
        return 0.0  # by the Kullback-Leibler divergence: delta <= sqrt(1 - exp(-KL))
    usable = orders > 1.01  # the bound is not stable towards 1, and of no use there
    a, r = orders[usable], curve[usable]
    return max(0.0, float(np.min(r + np.log1p(-1 / a) - np.log(delta * a) / (a - 1))))


@contextmanager
def quiet() -> Iterator[None]:
    """Without dp-accounting's warnings of orders that it leaves out; that loosens the bound."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
