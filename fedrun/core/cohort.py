"""Who takes part in a round: a cohort costs what it holds, however many clients there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.random import generator


def cyclic(num_clients: int, size: int) -> Callable[[int], Array]:
    """(round) -> int64 [size], ascending: the next clients in the order of their numbers, round
    after round, beginning again behind the last one."""
    return lambda round: np.sort(np.arange((round - 1) * size, round * size) % num_clients)


def shuffled(seed: int, num_clients: int, size: int) -> Callable[[int], Array]:
    """(round) -> int64 [size], ascending: pass after pass over all clients, each in a new order.

    Where `size` does not divide them, those left over sit a pass out.
    """
    rounds = num_clients // size

    def cohort(round: int) -> Array:
        number, place = divmod(round - 1, rounds)
        order = generator(seed, "cohort", number).permutation(num_clients)
        return np.sort(order[place * size : (place + 1) * size])

    return cohort


def among(clients: Array, cohort: Callable[[int], Array]) -> Callable[[int], Array]:
    """Cohorts of these clients, from cohorts of their places in `clients`, which is ascending."""
    return lambda round: clients[cohort(round)]


def cohorts(
    seed: int, num_clients: int, size: int, weights: Array | None = None
) -> Callable[[int], Array]:
    """(round) -> int64 [size]: who takes part, without replacement, in ascending order.

    weights: None draws uniformly; else whole numbers [num_clients], such as the examples held: one
    client after the other in proportion to them, among those that are left.
    """
    if size == num_clients:
        everybody = np.arange(num_clients, dtype=np.int64)
        return lambda round: everybody
    ends = None if weights is None else line_of(weights, size)

    def cohort(round: int) -> Array:
        draw = generator(seed, "cohort", round)
        if ends is None:
            return np.sort(draw.choice(num_clients, size, replace=False, shuffle=False))
        return in_proportion(draw, ends, size)

    return cohort


def poisson(num_clients: int, rate: float, coins: Callable[[int], Array]) -> Callable[[int], Array]:
    """(round) -> int64, ascending: every client by a coin of its own that comes up at this rate, so
    that anything from nobody to everybody comes.

    coins: (round) -> float64 [num_clients] in [0, 1), which no one else may know.
    """

    def cohort(round: int) -> Array:
        found: Array = np.flatnonzero(coins(round) < rate)
        return found

    return cohort


def lots(num_clients: int, size: int, coins: Callable[[int], Array]) -> Callable[[int], Array]:
    """(round) -> int64 [size], ascending: those with the lowest lots; all such sets alike."""

    def cohort(round: int) -> Array:
        return np.sort(np.argpartition(coins(round), size - 1)[:size])

    return cohort


def line_of(weights: Array, size: int) -> Array:
    """float64 [clients]: the running sum, which is exact for whole numbers, and only for them."""
    ends = np.cumsum(weights, dtype=np.float64)
    assert ends[-1] < 2**53
    assert (weights == np.floor(weights)).all()
    assert weights.min() >= 0
    assert np.count_nonzero(weights) >= size
    return ends


def in_proportion(draw: np.random.Generator, ends: Array, size: int) -> Array:
    """int64 [size], ascending: clients drawn one after the other in proportion to their weights.

    ends: float64 [clients], the running sum of the weights; client k owns [ends[k - 1], ends[k]).

    Points fall on the line of all weights, less the stretches of those already drawn, as many as
    are still wanted; a point on the stretch of an earlier one is passed over. To draw with
    replacement and to pass over repeats is to draw without replacement, and cutting the drawn out
    keeps one heavy client from catching all points.
    """
    drawn = np.empty(0, np.int64)  # ascending
    while len(drawn) < size:
        begins = np.where(drawn > 0, ends[drawn - 1], 0.0)
        cut = np.concatenate([[0.0], np.cumsum(ends[drawn] - begins)])
        point = draw.random(size - len(drawn)) * (ends[-1] - cut[-1])
        point += cut[np.searchsorted(begins - cut[:-1], point, side="right")]
        found = np.searchsorted(ends, point, side="right")
        # Beyond the end, or on a stretch that is cut out: only rounding can put a point there.
        found = found[(found < len(ends)) & ~np.isin(found, drawn)]
        drawn = np.union1d(drawn, found)
    return drawn
