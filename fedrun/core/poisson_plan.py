"""A round's plan where each step's batch is drawn by coins: what accounting by "Poisson sampling"
speaks of. Every row is in every batch with the same chance, whatever else is in it, so a batch has
any size, and may be empty; an empty one is a step like any other, noised and paid for.
"""

from __future__ import annotations

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.partition import Ragged
from fedrun.core.plan import ChunkPlan, Work
from fedrun.core.privacy import Purpose, Stream, Streams

COINS = 1 << 18  # tossed at once
TURN_BITS = 40  # above the numbers of clients


def poisson_plan(
    held: Ragged,
    work: Work,
    streams: Streams,
    round: int,
    clients: Array,
    epochs: Array | None = None,
    turn: int = 0,
) -> ChunkPlan:
    """Toss a coin for each row of each client in each of its steps.

    A client of n rows takes as many steps as `work` says, and a row is in a batch with the chance
    q = min(1, batch_size / n); batch_size 0 takes every row every time. `work.repeat` makes more
    steps and no two of one batch. turn: which of a client's plans in this round; each has coins of
    its own. What a client draws does not depend on the others.
    """
    sizes = held.sizes[clients]
    steps = work.num_steps(sizes, epochs)
    expected = sizes.astype(np.float64)
    if work.batch_size:
        expected = np.minimum(expected, work.batch_size)
    rows, lengths = [], []
    for client, size, count, average in zip(
        clients.tolist(), sizes.tolist(), steps.tolist(), expected.tolist(), strict=True
    ):
        mine = held[client]
        if average >= size:
            rows.append(np.tile(mine, count))
            lengths.append(np.full(count, size))
            continue
        stream = stream_of(streams, "batch", round, client, turn)
        place, length = _heads(stream, size, count, average / size)
        rows.append(mine[place])
        lengths.append(length)
    end = np.cumsum(np.concatenate(lengths))
    first = np.concatenate([[0], np.cumsum(steps)])
    begin = np.concatenate([[0], end[:-1]])
    return ChunkPlan(round, clients, first, begin, end, np.concatenate(rows), turn, expected)


def stream_of(streams: Streams, purpose: Purpose, round: int, client: int, turn: int) -> Stream:
    """The secret stream of one of a client's turns in a round."""
    return streams(purpose, round, client + (turn << TURN_BITS))


def _heads(stream: Stream, size: int, steps: int, chance: float) -> tuple[Array, Array]:
    """int64: the rows of all batches one after the other, and int64 [steps], how long each is."""
    at_once = max(1, COINS // size)
    places, lengths = [], []
    for start in range(0, steps, at_once):
        count = min(at_once, steps - start)
        heads = stream.uniform(count * size).reshape(count, size) < chance
        places.append(np.flatnonzero(heads) % size)
        lengths.append(heads.sum(1))
    return np.concatenate(places), np.concatenate(lengths)
