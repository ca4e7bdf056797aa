"""A round's plan: which rows each client of the cohort sees in which step.

The plan is data, drawn from the seed before anything is trained, and every engine gets the same
one: so engines can be compared with each other, and a killed run repeats itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.partition import Ragged
from fedrun.core.random import counters


@dataclass(frozen=True)
class Work:
    """How much a client does in a round: `epochs` passes, or exactly `steps` steps where not 0.

    batch_size: examples per step; 0 is the whole local set. The last, shorter batch of a pass is
    kept.
    """

    epochs: int
    steps: int
    batch_size: int

    def steps_per_epoch(self, examples: Array) -> Array:
        """Steps of one pass over this many examples, int64 [C]."""
        return -(-examples // self.batch_size) if self.batch_size else np.ones_like(examples)

    def num_steps(self, examples: Array) -> Array:
        """Local steps of clients that hold this many examples, int64 [C]."""
        if self.steps:
            return np.full_like(examples, self.steps)
        return self.epochs * self.steps_per_epoch(examples)


@dataclass(frozen=True)
class ClientPlan:
    """One client's round: step s trains on `rows[bounds[s]:bounds[s + 1]]`."""

    client: int
    rows: Array
    bounds: Array

    @property
    def steps(self) -> int:
        return len(self.bounds) - 1


@dataclass(frozen=True)
class ChunkPlan:
    """The plans of some clients of one round, in client order: what an engine is handed.

    client: int64 [C]; its steps, of all steps [S] of the chunk, are `first[c]` to `first[c + 1]`;
    step s trains on `rows[begin[s]:end[s]]`. All int64.
    """

    round: int
    client: Array
    first: Array
    begin: Array
    end: Array
    rows: Array

    @cached_property
    def steps(self) -> Array:
        """int64 [C]: how many steps each client takes."""
        return np.diff(self.first)

    @cached_property
    def clients(self) -> list[ClientPlan]:
        """One by one, as views."""
        plans = []
        for client, first, last in zip(self.client, self.first[:-1], self.first[1:], strict=True):
            start = self.begin[first]
            bounds = np.append(self.begin[first:last], self.end[last - 1]) - start
            plans.append(ClientPlan(int(client), self.rows[start : self.end[last - 1]], bounds))
        return plans

    @classmethod
    def of(cls, round: int, plans: list[ClientPlan]) -> ChunkPlan:
        """Put plans of single clients together."""
        rows = [plan.rows for plan in plans]
        starts = np.cumsum([0, *map(len, rows)])
        begin = [plan.bounds[:-1] + start for plan, start in zip(plans, starts, strict=False)]
        end = [plan.bounds[1:] + start for plan, start in zip(plans, starts, strict=False)]
        return cls(
            round,
            np.array([plan.client for plan in plans]),
            np.cumsum([0, *(plan.steps for plan in plans)]),
            np.concatenate(begin),
            np.concatenate(end),
            np.concatenate(rows),
        )


def chunk_plan(held: Ragged, work: Work, seed: int, round: int, clients: Array) -> ChunkPlan:
    """Draw the order of every client's batches.

    Every pass over the `held` rows of a client is a fresh permutation of them: the order of random
    numbers that belong to the client, the round and the place. With `work.steps` the last pass is
    cut, and each round starts on a new one. A client's plan does not depend on the other clients.
    """
    size = held.sizes[clients]
    batch = np.full_like(size, work.batch_size) if work.batch_size else size
    per_pass, steps = work.steps_per_epoch(size), work.num_steps(size)
    passes = -(-steps // per_pass)

    drawn = size * passes
    start = np.cumsum(drawn) - drawn
    order = _permutations(counters(seed, "batch", round, clients, drawn, start), size, passes)
    rows = held.rows[order + np.repeat(held.offsets[clients], drawn)]

    first = np.concatenate([[0], np.cumsum(steps)])
    step = np.arange(first[-1]) - np.repeat(first[:-1], steps)
    whole, part = np.divmod(step, np.repeat(per_pass, steps))
    begin = np.repeat(batch, steps) * part
    end = np.minimum(begin + np.repeat(batch, steps), np.repeat(size, steps))
    offset = np.repeat(start, steps) + whole * np.repeat(size, steps)
    return ChunkPlan(round, clients, first, begin + offset, end + offset, rows)


def _permutations(keys: Array, size: Array, passes: Array) -> Array:
    """int64, as long as `keys`: for each pass the order that sorts its keys; works in place.

    A key gives its lowest bits to its place and its highest to the number of the pass, so that
    sorting numbers is all there is to do, and all passes are sorted in one go. What is left of a
    key depends on the client's own size alone, and so does the order.
    """
    length = np.repeat(size, passes)
    number = np.repeat(np.arange(len(length)), length)
    place = np.arange(len(keys)) - (np.cumsum(length) - length)[number]
    bits = np.ceil(np.log2(size + 1)).astype(np.uint64)
    bits = np.repeat(bits, size * passes)
    keys <<= PASS_BITS
    keys >>= PASS_BITS + bits
    keys <<= bits
    keys |= place.view(np.uint64)
    if len(length) <= 1 << int(PASS_BITS) and len(keys) <= TOGETHER:
        keys |= number.view(np.uint64) << (np.uint64(64) - PASS_BITS)
        keys.sort()
    else:
        at = 0
        for n, times in zip(size.tolist(), passes.tolist(), strict=True):
            keys[at : at + n * times].reshape(times, n).sort()
            at += n * times
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.view(np.int64)


PASS_BITS = np.uint64(12)
TOGETHER = 8192  # keys; longer arrays are sorted faster pass by pass


def even_chunks(cohort: Array, size: int) -> list[Array]:
    """Cut a cohort into neighbouring chunks of at most `size`, as even as can be.

    The cuts depend on the cohort alone, never on the number of workers: sums are taken chunk by
    chunk in this order, so any number of workers gives the same bits.
    """
    return np.array_split(cohort, max(1, -(-len(cohort) // size)))
