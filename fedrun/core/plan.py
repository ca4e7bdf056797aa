"""A round's plan: which rows each client of the cohort sees in which step.

The plan is data, drawn from the seed before anything is trained, and every engine gets the same
one: so engines can be compared with each other, and a killed run repeats itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.partition import Ragged
from fedrun.core.random import counters


@dataclass(frozen=True)
class Work:
    """How much a client does in a round: `epochs` passes, or exactly `steps` steps where not 0.

    batch_size: examples per step; 0 is the whole local set. The last, shorter batch of a pass is
    kept. repeat: each batch serves so many steps in a row, which count as one above.
    """

    epochs: int
    steps: int
    batch_size: int
    repeat: int = 1

    def steps_per_epoch(self, examples: Array) -> Array:
        """Steps of one pass over this many examples, int64 [C]."""
        return -(-examples // self.batch_size) if self.batch_size else np.ones_like(examples)

    def num_steps(self, examples: Array, epochs: Array | None = None) -> Array:
        """Local steps of clients that hold this many examples, int64 [C].

        epochs: int64 [C], the passes that each of them gets done; None where that is all.
        """
        if self.steps:
            return np.full_like(examples, self.steps * self.repeat)
        passes = self.epochs if epochs is None else epochs
        return passes * self.steps_per_epoch(examples) * self.repeat


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
    step s trains on `rows[begin[s]:end[s]]`. All int64. turn: which of the round's plans it is.
    expected: float64 [C], the size that each client's batches have on average, where coins decide.
    """

    round: int
    client: Array
    first: Array
    begin: Array
    end: Array
    rows: Array
    turn: int = 0
    expected: Array | None = None

    @cached_property
    def steps(self) -> Array:
        """int64 [C]: how many steps each client takes."""
        return self.first[1:] - self.first[:-1]

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


def chunk_plan(
    held: Ragged,
    work: Work,
    seed: int,
    round: int,
    clients: Array,
    epochs: Array | None = None,
    turn: int = 0,
) -> ChunkPlan:
    """Draw the order of every client's batches.

    epochs: as in `Work.num_steps`; turn: which of several plans for one round.

    Every pass over the `held` rows of a client is a fresh permutation of them: the order of random
    numbers that belong to the client, the round and the place. With `work.steps` the last pass is
    cut, and each round starts on a new one. A client's plan does not depend on the other clients.
    """
    done = None if epochs is None else np.asarray(epochs, np.int64).tobytes()
    frame = _frame(held.sizes[clients].tobytes(), done, work)
    keys = counters(seed, "batch", round, clients, frame.drawn, frame.start, turn)
    rows = held.rows[_permutations(keys, frame) + np.repeat(held.offsets[clients], frame.drawn)]
    plan = ChunkPlan(round, clients, frame.first, frame.begin, frame.end, rows, turn)
    return plan if work.repeat == 1 else repeated(plan, work.repeat)


def repeated(plan: ChunkPlan, times: int) -> ChunkPlan:
    """The plan in which every batch comes so many times in a row."""
    begin = np.repeat(plan.begin, times)
    length = np.repeat(plan.end, times) - begin
    end = np.cumsum(length)
    rows = plan.rows[np.arange(length.sum()) + np.repeat(begin - (end - length), length)]
    return ChunkPlan(
        plan.round, plan.client, plan.first * times, end - length, end, rows, plan.turn
    )


@dataclass(frozen=True)
class Frame:
    """What the sizes of a chunk's clients decide of their plan; nobody may write into it.

    size, passes, drawn, start: int64 [C], examples held, passes over them, rows in all passes and
    where these begin; first, begin, end: as in `ChunkPlan`.
    lowest, random, place: uint64, as long as the rows: which bits of a row's key tell its place,
    which are random, and the bits that are not.
    together: all passes are sorted in one go, since a key begins with the number of its pass.
    """

    size: Array
    passes: Array
    drawn: Array
    start: Array
    first: Array
    begin: Array
    end: Array
    lowest: Array
    random: Array
    place: Array
    together: bool


@lru_cache(maxsize=4)  # clients are often of one size, and then this takes longer than the draw
def _frame(sizes: bytes, epochs: bytes | None, work: Work) -> Frame:
    size = np.frombuffer(sizes, np.int64)
    batch = np.full_like(size, work.batch_size) if work.batch_size else size
    per_pass = work.steps_per_epoch(size)
    steps = work.num_steps(size, None if epochs is None else np.frombuffer(epochs, np.int64))
    steps = steps // work.repeat
    passes = -(-steps // per_pass)
    drawn = size * passes
    start = np.cumsum(drawn) - drawn

    first = np.concatenate([[0], np.cumsum(steps)])
    step = np.arange(first[-1]) - np.repeat(first[:-1], steps)
    whole, part = np.divmod(step, np.repeat(per_pass, steps))
    batches, examples = np.repeat(batch, steps), np.repeat(size, steps)
    begin = batches * part
    end = np.minimum(begin + batches, examples)
    offset = np.repeat(start, steps) + whole * examples

    length = np.repeat(size, passes)
    place = np.arange(int(drawn.sum())) - np.repeat(np.cumsum(length) - length, length)
    together = len(length) <= 1 << int(PASS_BITS) and len(place) <= TOGETHER
    if together:
        place |= np.repeat(np.arange(len(length)) << int(64 - PASS_BITS), length)
    lowest = np.repeat(_ones(np.ceil(np.log2(size + 1)).astype(np.uint64)), drawn)
    random = KEY_BITS ^ lowest
    return Frame(
        size, passes, drawn, start, first, begin + offset, end + offset,
        lowest, random, place.view(np.uint64), together,
    )  # fmt: skip


def _ones(count: Array) -> Array:
    """uint64: the lowest so many bits are 1."""
    return (np.uint64(1) << count) - np.uint64(1)


def _permutations(keys: Array, frame: Frame) -> Array:
    """int64, as long as `keys`: for each pass the order that sorts its keys; works in place.

    A key gives its lowest bits to its place and its highest to the number of the pass, so that
    sorting numbers is all there is to do, and all passes are sorted in one go. What is left of a
    key depends on the client's own size alone, and so does the order.
    """
    keys &= frame.random
    keys |= frame.place
    if frame.together:
        keys.sort()
    else:
        at = 0
        for n, times in zip(frame.size.tolist(), frame.passes.tolist(), strict=True):
            keys[at : at + n * times].reshape(times, n).sort()
            at += n * times
    keys &= frame.lowest
    return keys.view(np.int64)


PASS_BITS = np.uint64(12)
KEY_BITS = np.uint64((1 << 52) - 1)  # the others of 64
TOGETHER = 8192  # keys; longer arrays are sorted faster pass by pass


def even_chunks(cohort: Array, size: int) -> list[Array]:
    """Cut a cohort into neighbouring chunks of at most `size`, as even as can be.

    The cuts depend on the cohort alone, never on the number of workers: sums are taken chunk by
    chunk in this order, so any number of workers gives the same bits.
    """
    return np.array_split(cohort, max(1, -(-len(cohort) // size)))
