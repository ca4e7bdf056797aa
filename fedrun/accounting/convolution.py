"""Many equal releases at once by the fast Fourier transform, where dp-accounting's own takes 35 ms.

The losses of one release come from dp-accounting, on a pessimistic grid. Their sum is computed on a
circle of grid points that holds all but TAIL of its mass (Chernoff), and everything that is lost or
may be off by rounding is put to delta.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import expm1, inf, log, log1p
from typing import Any

import numpy as np
import numpy.typing as npt

from fedrun.accounting.pld import once

Array = npt.NDArray[np.float64]

TAIL = 1e-15
ROUNDING = 2e-16  # of delta, for each release and each grid point
SLOPES: Array = 2.0 ** np.arange(-6, 9.5, 0.5)
MOST_POINTS = 2**22


def composed_epsilon(
    listed: tuple[tuple[str, tuple[Any, ...], int], ...], delta: float, interval: float
) -> float:
    """Epsilon of (kind, key, count)s; infinite where `delta` is too small for this arithmetic."""
    releases = [(losses(kind, key, interval), count) for kind, key, count in listed]
    return max(
        one_way([(pair[way], count) for pair, count in releases], delta, interval) for way in (0, 1)
    )


@dataclass(frozen=True)
class Losses:
    """The privacy loss of one release: chances [points] from the `first` grid point on.

    infinite: the chance of an infinite loss; up, down: ln E exp(+-slope loss) at SLOPES
    """

    first: int
    chance: Array
    infinite: float
    up: Array
    down: Array


@lru_cache(maxsize=32)
def losses(kind: str, key: tuple[Any, ...], interval: float) -> tuple[Losses, Losses]:
    """Where a neighbour is taken away, and where one is added."""
    from scipy.special import logsumexp

    whole = once(kind, key, interval)
    found = []
    for name in ("_pmf_remove", "_pmf_add"):  # no other way leads to them in dp-accounting 0.6
        dense = getattr(whole, name).to_dense_pmf()
        chance = np.asarray(dense._probs, dtype=np.float64)
        value = (dense._lower_loss + np.arange(len(chance))) * interval
        some = chance > 0
        up, down = (
            np.array([logsumexp(sign * slope * value[some], b=chance[some]) for slope in SLOPES])
            for sign in (1, -1)
        )
        found.append(Losses(dense._lower_loss, chance, float(dense._infinity_mass), up, down))
    return found[0], found[1]


def one_way(releases: list[tuple[Losses, int]], delta: float, interval: float) -> float:
    """Epsilon of the sum of all losses."""
    tail = -log(TAIL)
    up: Array = sum((count * one.up for one, count in releases), np.zeros(len(SLOPES)))
    down: Array = sum((count * one.down for one, count in releases), np.zeros(len(SLOPES)))
    low = -int(np.min((down + tail) / SLOPES) / interval) - 1
    high = int(np.min((up + tail) / SLOPES) / interval) + 1
    points = 1 << max(high - low, 16).bit_length()
    if points > MOST_POINTS:
        return inf
    number = sum(count for _, count in releases)
    finite = sum(count * log1p(-one.infinite) for one, count in releases)
    lost = -expm1(finite) + 2 * TAIL + ROUNDING * (number + points)
    if lost >= delta:
        return inf
    wave = np.ones(points // 2 + 1, dtype=np.complex128)
    first = 0
    for one, count in releases:
        wave *= np.fft.rfft(around(one.chance, points)) ** count
        first += one.first * count
    chance = np.maximum(np.roll(np.fft.irfft(wave, points), (first - low) % points), 0.0)
    return least_epsilon(chance, low, interval, delta - lost)


def around(chance: Array, points: int) -> Array:
    """The chances wound around a circle of so many points."""
    turns = -(-len(chance) // points)
    wound: Array = np.pad(chance, (0, turns * points - len(chance)))
    return np.asarray(wound.reshape(turns, points).sum(axis=0))


def least_epsilon(chance: Array, low: int, interval: float, delta: float) -> float:
    """The least epsilon >= 0 with sum over losses above it of chance (1 - e^(epsilon - loss)) <=
    delta."""
    loss = (low + np.arange(len(chance))) * interval
    start = int(np.searchsorted(loss, 0.0, side="right"))
    loss, chance = loss[start:], chance[start:]
    if not len(loss):
        return 0.0
    # Of the losses from each point on; epsilon may be as low as the point before.
    mass = np.cumsum(chance[::-1])[::-1]
    scaled = np.cumsum((chance * np.exp(-loss))[::-1])[::-1]
    before = np.concatenate([[0.0], loss[:-1]])
    spent = mass - np.exp(np.minimum(before, 700.0)) * scaled
    enough = np.flatnonzero(spent > delta)
    if not len(enough):
        return 0.0
    at = int(enough[-1])
    return float(log(max((mass[at] - delta) / scaled[at], 1.0)))
