"""A round's plan: who takes part, and which rows each of them sees in which step.

The plan is data, drawn from the seed before anything is trained, and every engine gets the same
one: so engines can be compared with each other, and a killed run repeats itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.random import generator


@dataclass(frozen=True)
class Work:
    """How much a client does in a round: `epochs` passes, or exactly `steps` steps where not 0.

    batch_size: examples per step; 0 is the whole local set. The last, shorter batch of a pass is
    kept.
    """

    epochs: int
    steps: int
    batch_size: int

    def num_steps(self, examples: int) -> int:
        """Local steps of a client that holds this many examples."""
        return self.steps or self.epochs * self.steps_per_epoch(examples)

    def steps_per_epoch(self, examples: int) -> int:
        return -(-examples // (self.batch_size or max(examples, 1)))


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
    """The plans of some clients of one round, in client order: what an engine is handed."""

    round: int
    clients: list[ClientPlan]


def client_plan(held: Array, work: Work, seed: int, round: int, client: int) -> ClientPlan:
    """Draw the order of one client's batches.

    held: int64 [n], the rows this client holds. Every pass is a fresh permutation of them; with
    `work.steps` the last pass is cut, and each round starts on a new one.
    """
    draw = generator(seed, "batch", round, client)
    size = work.batch_size or len(held)
    steps = work.num_steps(len(held))
    passes = -(-steps // work.steps_per_epoch(len(held)))
    one_pass = np.minimum(np.arange(0, len(held) + size, size), len(held))
    ends = np.concatenate([one_pass[1:] + p * len(held) for p in range(passes)])[:steps]
    order = np.concatenate([draw.permutation(len(held)) for _ in range(passes)])
    bounds = np.concatenate([[0], ends]).astype(np.int64)
    return ClientPlan(client, held[order[: bounds[-1]]], bounds)


def draw_cohort(
    seed: int, round: int, num_clients: int, size: int, weights: Array | None = None
) -> Array:
    """int64 [size]: who takes part, without replacement, in ascending order.

    weights: None draws uniformly; else one after the other in proportion to these numbers.
    """
    if size == num_clients:
        return np.arange(num_clients, dtype=np.int64)
    draw = generator(seed, "cohort", round)
    chance = None if weights is None else weights / weights.sum()
    return np.sort(draw.choice(num_clients, size, replace=False, p=chance, shuffle=False))


def even_chunks(cohort: Array, size: int) -> list[Array]:
    """Cut a cohort into neighbouring chunks of at most `size`, as even as can be.

    The cuts depend on the cohort alone, never on the number of workers: sums are taken chunk by
    chunk in this order, so any number of workers gives the same bits.
    """
    return np.array_split(cohort, max(1, -(-len(cohort) // size)))
