"""A federation ready to train, and its state between rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fedrun.core.algorithm import Algorithm, Solve
from fedrun.core.bank import Bank
from fedrun.core.chain import Layer, Total
from fedrun.core.dataset import Array
from fedrun.core.partition import Ragged
from fedrun.core.plan import ChunkPlan, Work
from fedrun.core.tree import Tree


@dataclass(frozen=True)
class Federation:
    """Who holds what, what each client does, and how the server puts it together.

    solver: (plan of a chunk) -> Solve, the engine's way of local training.
    sampling: None draws cohorts uniformly; else in proportion to these numbers, one per client.
    chunk_size: clients per unit of work; sums are taken chunk by chunk in client order.
    """

    algorithm: Algorithm
    chain: Sequence[Layer]
    solver: Callable[[ChunkPlan], Solve]
    held: Ragged
    work: Work
    seed: int
    cohort_size: int
    sampling: Array | None
    chunk_size: int


@dataclass(frozen=True)
class State:
    """All that the next round depends on, beside the config."""

    round: int
    server: Tree
    bank: Bank
    up_bytes: int = 0
    down_bytes: int = 0

    def to_tree(self) -> Tree:
        return Tree(
            round=self.round,
            server=self.server,
            bank=self.bank.to_tree(),
            up_bytes=self.up_bytes,
            down_bytes=self.down_bytes,
        )

    def restored(self, tree: Tree) -> State:
        """The state that `to_tree` described, on this one's device; this one is before round 1."""
        device = next(self.server["model"].leaves()).device
        tree = tree.map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf)
        return State(
            round=tree["round"],
            server=tree["server"],
            bank=self.bank.restored(tree.get("bank", Tree())),
            up_bytes=tree["up_bytes"],
            down_bytes=tree["down_bytes"],
        )


def initial_state(algorithm: Algorithm, params: Tree) -> State:
    """Round 0: nobody has trained."""
    return State(0, algorithm.server_init(params), Bank(algorithm.client_init(params)))


@dataclass(frozen=True)
class Job:
    """A chunk of the cohort: client numbers [C] and the states they kept, Tree_C."""

    round: int
    clients: Array
    state: Tree


@dataclass(frozen=True)
class Done:
    """What comes back from a chunk.

    total: sum of the encoded packets; state: Tree_C to keep; ok: bool [C], finite and accepted;
    measures: float64 [C] each, by name, for the records of the clients.
    """

    total: Total
    state: Tree
    ok: Tensor
    measures: dict[str, Tensor]
    packet_bytes: int


@dataclass(frozen=True)
class Record:
    """What is written of a round: flat metrics, and one row per client of the cohort."""

    metrics: dict[str, float]
    clients: list[dict[str, Any]]
    examples: int = 0


Map = Callable[[Tree, Iterable[Job]], Iterator[Done]]
"""(message, jobs) -> results in the order of the jobs, wherever they are worked on."""


@dataclass(frozen=True)
class Protocol:
    """A round in halves: `chunk` runs beside the data, in any process; `round` at the server."""

    chunk: Callable[[Tree, Job], Done]
    round: Callable[[State, Map], tuple[State, Record]]


@dataclass(frozen=True)
class Engine:
    """How local training is executed.

    solver: see `Federation.solver`; chunk_size: (cohort size) -> clients per chunk;
    open: (chunk function) -> a context in which `Map` is at hand.
    """

    solver: Callable[[ChunkPlan], Solve]
    chunk_size: Callable[[int], int]
    open: Callable[[Callable[[Tree, Job], Done]], AbstractContextManager[Map]]
