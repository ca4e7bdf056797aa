"""What a method is: a record of functions, client side and server side together.

An algorithm says *what* a client minimises, mostly `F_k(w) + <drift, w> + mu/2 |w - anchor|^2`; an
engine decides how. Shape suffix `_C`: a leading axis over the clients of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from fedrun.core.plan import Work
from fedrun.core.task import Task
from fedrun.core.tree import Tree


@dataclass(frozen=True)
class Trained:
    """What local training gives back.

    params: Tree_C of the local models; steps: int64 [C] of real steps, short batches included;
    sums: float64 [C, 3], of loss, right answers and examples over all of every step, measured
    before the step; weigh: `Local.displacement` at this round's learning rate.
    """

    params: Tree
    steps: Tensor
    sums: Tensor
    weigh: Callable[[Tensor], Tensor] | None

    @property
    def displacement(self) -> Tensor:
        """float64 [C], see `Local.displacement`; NaN where it has none."""
        steps = self.steps.double()
        return self.weigh(steps) if self.weigh else torch.full_like(steps, float("nan"))


@dataclass(frozen=True)
class Losses:
    """of_each [B']: losses whose mean is minimised; outputs, y: what they were measured on, for the
    records."""

    of_each: Tensor
    outputs: Tensor
    y: Tensor


Objective = Callable[[Task, Tree, Tree, Tensor, Tensor], Losses]
"""(task, params, context, x, y) -> Losses of a batch, in operations that autograd can follow. The
params are a tree like `start`; the context is one client's slice of what came with it."""


class Minimise(Protocol):
    """`F_k(w) + <drift, w> + mu/2 |w - anchor|^2` from `start` at each client of a plan: what every
    engine does in its own way."""

    def __call__(
        self, start: Tree, *, drift: Tree | None = None, anchor: Tree | None = None, mu: float = 0.0
    ) -> Trained: ...


class Solve(Protocol):
    """Local training at each client of a chunk, from `start`, which is a Tree_C.

    It minimises `F_k(w) + <drift, w> + mu/2 |w - anchor|^2`. What stands below is for methods that
    need more, and all but `work` and `turn` is left to plain autograd, client by client.

    work: how much, where it is not what `local` says; slow clients do all of it.
    turn: 0, 1, ...: solves of one round with different turns see batches in different orders.
    only: names of the parameters that are trained; the others keep their values.
    objective: takes the place of F_k; `start` may then be any tree that it understands.
    context: Tree_C that the objective is handed one client's slice of.
    own: the models are the clients' own, see `Algorithm.own_buffers`.
    """

    def __call__(
        self,
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
    ) -> Trained: ...


@dataclass(frozen=True)
class Clients:
    """A chunk of the round's cohort, as the client side of an algorithm sees it.

    number: int64 [C]; examples: float32 [C], training examples held; steps: int64 [C], that a solve
    takes as `local` says, by slow clients fewer; state: Tree_C that was kept for these clients.
    loss: (params Tree_C) -> float64 [C], F_k: the mean loss over all that each client holds.
    gradient: (params Tree_C) -> (that, and its gradient as a Tree_C).
    """

    number: Tensor
    examples: Tensor
    steps: Tensor
    state: Tree
    solve: Solve
    loss: Callable[[Tree], Tensor]
    gradient: Callable[[Tree], tuple[Tensor, Tree]]


@dataclass(frozen=True)
class Reply:
    """`update` (Tree_C) is all that leaves a client; `weight` [C] is its say in the mean.

    state: Tree_C to keep for these clients until they take part again.
    noted: by name, numbers [C] for these clients' rows in the records, such as the cluster that
        each chose; withheld with the rest of the rows where a guarantee hides clients.
    """

    update: Tree
    weight: Tensor
    trained: Trained
    state: Tree
    noted: Tree = field(default_factory=Tree)


@dataclass(frozen=True)
class Survey:
    """What clients send before they train: `update` Tree_C, and its `weight` [C] in the mean."""

    update: Tree
    weight: Tensor


@dataclass(frozen=True)
class Round:
    """What the server side knows of the round: its number t = 0, 1, ..., the clients whose updates
    were accepted, and all clients there are.

    accepted: how many; where who came is secret, how many come on average.
    clients: int64, the numbers of the accepted ones, of nobody where that is secret; weight:
    theirs, None where the algorithm is shown their mean alone.
    """

    t: int
    accepted: float
    population: int
    clients: Tensor
    weight: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """client_update: (clients, message_C) -> Reply
    server_update: (server state, weighted mean of the updates, Round) -> server state
    server_init: (initial parameters) -> server state; its `model` is the global model
    message: (server state) -> what every client of the cohort is sent
    client_init: (initial parameters) -> the state of a client that never took part

    survey: (clients, message_C) -> Survey: a first exchange of the round; its weighted mean is in
        the message of what follows, and beside the updates' mean at the server, as `survey`
    personal: (clients, message_C) -> Tree_C of the models that these clients use themselves
    needs: `sum`: the server is shown the mean and nothing else; `each`: all updates, as a Tree_C in
        the mean's place
    keeps_buffers: a client's running statistics (BatchNorm) stay with it, and are not averaged
    own_buffers: beside the averaged ones, clients have running statistics of their own, for models
        that are solved as `own`, for the part `personal` of a tree, and for the personal models
    gradients: whether it asks for gradients over all that a client holds, as what its local steps
        see: with batch normalisation they are those of another function
    has_global: whether the global model is meant to be used, and is scored
    reads_data: whether what leaves a client, or stays with it, depends on its data otherwise than
        through plain solves: on a loss, a gradient, or an objective of its own
    divides: whether the server divides by what was sent: one mean by another, or a step by a length
    """

    client_update: Callable[[Clients, Tree], Reply]
    server_update: Callable[[Tree, Tree, Round], Tree]
    server_init: Callable[[Tree], Tree]
    message: Callable[[Tree], Tree]
    client_init: Callable[[Tree], Tree]
    survey: Callable[[Clients, Tree], Survey] | None = None
    personal: Callable[[Clients, Tree], Tree] | None = None
    needs: Literal["sum", "each"] = "sum"
    keeps_buffers: bool = False
    own_buffers: bool = False
    gradients: bool = False
    has_global: bool = True
    reads_data: bool = False
    divides: bool = False


@dataclass(frozen=True)
class Server:
    """How the server takes a step along the mean update, which points downhill already.

    init: (params) -> optimiser state; step: (params, state, mean update, t) -> (params, state)
    """

    init: Callable[[Tree], Tree]
    step: Callable[[Tree, Tree, Tree, int], tuple[Tree, Tree]]
