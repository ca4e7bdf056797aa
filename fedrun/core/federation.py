"""A federation ready to train, and its state between rounds."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
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
from fedrun.core.record import Record
from fedrun.core.tree import Tree


@dataclass(frozen=True)
class Federation:
    """Who holds what, what each client does, and how the server puts it together.

    solver: (plan of a chunk) -> Solve, the engine's way of local training.
    cohort: (round) -> int64 [cohort_size], who takes part, in ascending order.
    chunk_size: clients per unit of work; sums are taken chunk by chunk in client order.
    """

    algorithm: Algorithm
    chain: Sequence[Layer]
    solver: Callable[[ChunkPlan], Solve]
    held: Ragged
    work: Work
    seed: int
    cohort: Callable[[int], Array]
    cohort_size: int
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

    total: sum of the encoded packets, None once it is added up; state: Tree_C to keep; ok: bool
    [C], finite and accepted; measures: arrays [C] by name, for the records of the clients.
    """

    total: Total | None
    state: Tree
    ok: Array
    measures: dict[str, Array]
    packet_bytes: int


class Map(typing.Protocol):
    """Work on jobs, wherever that is done.

    With workers the jobs are out when the call returns, and this process may do something else;
    without, each is worked on when its result is asked for.
    """

    def __call__(
        self, message: Tree, jobs: Sequence[Any], costs: Sequence[float] | None = None
    ) -> Iterator[Any]:
        """Results in the order of the jobs; a job's exception is raised in its place.

        costs: how long each job will take, in any unit: the longest goes out first.
        """
        ...


Finish = Callable[[], tuple[State, Record]]


@dataclass(frozen=True)
class Protocol:
    """A round in halves: `chunk` runs beside the data, in any process; `start` at the server.

    start: hands out the jobs; what it returns waits for the results and takes the step. A round
        that was started may be thrown away, so nothing may change but the state that is returned.
    """

    chunk: Callable[[Tree, Job], Done]
    start: Callable[[State, Map], Finish]


@dataclass(frozen=True)
class Engine:
    """How local training is executed.

    name: the choice it was made by, `engine=auto` resolved; how: the way it took; why: what kept
    it from a faster one, for people;
    solver: see `Federation.solver`;
    chunk_size: (cohort size, mean local steps of a client) -> clients per chunk;
    open: (work function: message and job to result) -> a context in which a `Map` over it is at
        hand.
    """

    name: str
    how: str
    solver: Callable[[ChunkPlan], Solve]
    chunk_size: Callable[[int, float], int]
    open: Callable[[Callable[[Tree, Any], Any]], AbstractContextManager[Map]]
    why: str = ""
