"""Who takes which step on which rows, for a chunk of clients in lockstep.

Clients are sorted by their number of steps, so the active ones are the first k of them at every
step, a prefix that only shrinks. Step t has `size[t]` places: k of them, or, where a size is to be
used again and again, the next power of two; a place beyond the active clients has weight 0
throughout, and so has the padding of a batch that is shorter than another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.plan import ChunkPlan


@dataclass(frozen=True)
class Lockstep:
    """order int64 [C]: the clients of the chunk by falling number of steps
    active, size int64 [T]: clients that take step t, and places that it has
    rows int64 [P, B], length int64 [P]: of the places of all steps one after another
    client int64 [P]: whose place it is, as a place of the chunk
    """

    order: Array
    active: Array
    size: Array
    rows: Array
    length: Array
    client: Array

    @classmethod
    def of(cls, plan: ChunkPlan, capacity: int = 0, width: int = 0) -> Lockstep:
        """capacity: 0 gives a step as many places as it has clients; else the next power of two, at
        most this. width: B; 0 is the longest batch."""
        order = np.argsort(-plan.steps, kind="stable")
        steps, first = plan.steps[order], plan.first[:-1][order]
        active = np.searchsorted(-steps, -np.arange(steps[0]), side="left")
        size = np.minimum(powers_of_two(active), capacity) if capacity else active
        time = np.repeat(np.arange(len(size)), size)
        place = np.arange(len(time)) - np.repeat(np.cumsum(size) - size, size)
        # who has no such step repeats the last one, whose rows exist, with the length 0
        sorted_ = np.minimum(place, len(order) - 1)
        step = first[sorted_] + np.minimum(time, steps[sorted_] - 1)
        begin, end = plan.begin[step], plan.end[step]
        length = end - begin
        column = np.arange(width or length.max())
        rows = plan.rows[begin[:, None] + np.minimum(column, length[:, None] - 1)]
        if capacity:
            length[place >= active[time]] = 0
        return cls(order, active, size, rows, length, order[sorted_])

    @cached_property
    def full(self) -> bool:
        """Whether there is no padding."""
        return bool((self.length == self.rows.shape[1]).all())

    @cached_property
    def real(self) -> Array:
        """bool [P, B]: what is no padding."""
        inside: Array = np.arange(self.rows.shape[1]) < self.length[:, None]
        return inside

    def weight(self, rate: float) -> Array:
        """float64 [P, B]: `rate` over the length of the batch, 0 on the padding."""
        share: Array = np.where(self.real, rate / np.maximum(self.length, 1)[:, None], 0.0)
        return share

    def blocks(self, limit: int) -> Iterator[tuple[slice, slice]]:
        """Neighbouring steps with at most `limit` places together, but at least one step: which
        steps, and which places."""
        end = np.concatenate([[0], np.cumsum(self.size)])
        step, last = 0, len(self.size)
        while step < last:
            until = int(np.searchsorted(end, end[step] + limit, side="right")) - 1
            until = max(until, step + 1)
            yield slice(step, until), slice(int(end[step]), int(end[until]))
            step = until


def powers_of_two(counts: Array) -> Array:
    """The smallest powers of two that are not below these positive numbers."""
    powers: Array = 1 << np.ceil(np.log2(counts)).astype(np.int64)
    return powers
