"""A federation ready to train, and its state between rounds."""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedrun.core.algorithm import Algorithm, Clients, Minimise, Objective, Trained
from fedrun.core.bank import Bank
from fedrun.core.chain import Layer, Packets, Total, init
from fedrun.core.dataset import Array
from fedrun.core.measure import Answer
from fedrun.core.partition import Ragged
from fedrun.core.plan import ChunkPlan, Work, chunk_plan
from fedrun.core.privacy import PrivateSteps
from fedrun.core.record import Record
from fedrun.core.tree import Tree


@dataclass(frozen=True)
class General:
    """What plain autograd does for every engine, one client at a time.

    solver: (plan of a chunk) -> a solve that knows `only`, `objective` and `context`, see `Solve`.
    loss, gradient: (params Tree_C, the rows of each client) -> as in `Clients`.
    private: (how steps hide each example) -> the same as `solver` with such steps, on a plan drawn
        by coins and without `objective`; a `ConfigError` where this model or optimiser cannot.
    private_how: () -> the way that such steps go, as `Engine.how`.
    """

    solver: Callable[[ChunkPlan], Solver]
    loss: Callable[[Tree, Sequence[Array]], Tensor]
    gradient: Callable[[Tree, Sequence[Array]], tuple[Tensor, Tree]]
    private: Callable[[PrivateSteps], Callable[[ChunkPlan], Solver]]
    private_how: Callable[[], str]


class Solver(typing.Protocol):
    def __call__(
        self,
        start: Tree,
        *,
        drift: Tree | None,
        anchor: Tree | None,
        mu: float,
        only: Collection[str] | None,
        objective: Objective | None,
        context: Tree | None,
    ) -> Trained: ...


@dataclass(frozen=True)
class System:
    """Who is slow. A round waits for no one: what a slow client gets done is what counts.

    epochs: (round, cohort) -> int64 [cohort], the passes that each gets done; 0 is a client that
        is dropped; None where nobody is slow.
    """

    epochs: Callable[[int, Array], Array] | None = None


@dataclass(frozen=True)
class Federation:
    """Who holds what, what each client does, and how the server puts it together.

    solver: (plan of a chunk) -> Minimise, the engine's way of local training; general: what it
        leaves to autograd.
    cohort: (round) -> int64, who takes part, in ascending order; cohort_size: how many they are, or
        are on average; population: how many clients ever do.
    chunk_size: clients per unit of work; sums are taken chunk by chunk in client order.
    owed: whether every round releases something, and the server's rule is told `cohort_size` in the
        place of who came: then nothing but the release depends on that.
    steps: how local steps hide each example, where they do.
    """

    algorithm: Algorithm
    chain: Sequence[Layer]
    solver: Callable[[ChunkPlan], Minimise]
    general: General
    held: Ragged
    work: Work
    seed: int
    cohort: Callable[[int], Array]
    cohort_size: float
    population: int
    chunk_size: int
    system: System
    owed: bool = False
    steps: PrivateSteps | None = None


@dataclass(frozen=True)
class State:
    """All that the next round depends on, beside the config; `channel` is the chain's part."""

    round: int
    server: Tree
    bank: Bank
    channel: Tree = field(default_factory=Tree)
    up_bytes: int = 0
    down_bytes: int = 0

    def to_tree(self) -> Tree:
        return Tree(
            round=self.round,
            server=self.server,
            bank=self.bank.to_tree(),
            channel=self.channel,
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
            channel=tree.get("channel", Tree()),
            up_bytes=tree["up_bytes"],
            down_bytes=tree["down_bytes"],
        )


def initial_state(algorithm: Algorithm, chain: Sequence[Layer], params: Tree) -> State:
    """Round 0: nobody has trained."""
    bank = Bank(algorithm.client_init(params))
    return State(0, algorithm.server_init(params), bank, init(chain))


@dataclass(frozen=True)
class Job:
    """A chunk of the cohort: client numbers [C] and the states they kept, Tree_C.

    epochs: int64 [C], see `System`; survey: the first exchange of a round that has two.
    nobody: these clients did not come, and only show what a packet looks like: theirs are zeroed.
    """

    round: int
    clients: Array
    state: Tree
    epochs: Array | None = None
    survey: bool = False
    nobody: bool = False


def clients_of(federation: Federation, job: Job) -> Clients:
    """The clients of a job as an algorithm sees them; plans are drawn when they are asked for."""
    held, numbers = federation.held, job.clients

    def solve(
        start: Tree,
        *,
        drift: Tree | None = None,
        anchor: Tree | None = None,
        mu: float = 0.0,
        work: Work | None = None,
        turn: int = 0,
        only: Collection[str] | None = None,
        objective: Objective | None = None,
        context: Tree | None = None,
        own: bool = False,
    ) -> Trained:
        epochs = job.epochs if work is None else None
        much = federation.work if work is None else work
        plan = chunk_plan(held, much, federation.seed, job.round, numbers, epochs, turn)
        if only is None and objective is None:
            return federation.solver(plan)(start, drift=drift, anchor=anchor, mu=mu)
        return federation.general.solver(plan)(
            start, drift=drift, anchor=anchor, mu=mu, only=only, objective=objective,
            context=context,
        )  # fmt: skip

    def rows() -> list[Array]:
        return [held[number] for number in numbers]

    return Clients(
        number=torch.from_numpy(numbers),
        examples=torch.from_numpy(held.sizes[numbers]).float(),
        steps=torch.from_numpy(federation.work.num_steps(held.sizes[numbers], job.epochs)),
        state=job.state,
        solve=solve,
        loss=lambda params: federation.general.loss(params, rows()),
        gradient=lambda params: federation.general.gradient(params, rows()),
    )


@dataclass(frozen=True)
class Done:
    """What comes back from a chunk.

    sent: sum of the encoded packets, or the accepted ones where the algorithm needs each of them;
    None once it is added up; state: Tree_C to keep; ok: bool [C], finite and accepted; heard: bool
    [C], whom the server takes for accepted: those too who send noise in the place of an update that
    is not finite, since to be missed would tell of it; measures: arrays [C] by name, for the
    records of the clients; noted: what the algorithm adds to them, see `Reply`.
    """

    sent: Total | Packets | None
    state: Tree
    ok: Array
    heard: Array
    measures: dict[str, Array]
    packet_bytes: int
    noted: dict[str, Array] = field(default_factory=dict)


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
    solver, general: see `Federation`;
    chunk_size: (cohort size, mean local steps of a client) -> clients per chunk;
    open: (work function: message and job to result) -> a context in which a `Map` over it is at
        hand;
    answer: what the module answers in evaluation mode, where this engine has a faster way.
    """

    name: str
    how: str
    solver: Callable[[ChunkPlan], Minimise]
    general: General
    chunk_size: Callable[[int, float], int]
    open: Callable[[Callable[[Tree, Any], Any]], AbstractContextManager[Map]]
    why: str = ""
    answer: Answer | None = None
