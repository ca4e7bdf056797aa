"""What a method is: a record of functions, client side and server side together.

An algorithm says *what* a client minimises, `F_k(w) + <drift, w> + mu/2 |w - anchor|^2`; an engine
decides how. Shape suffix `_C`: a leading axis over the clients of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

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


class Solve(Protocol):
    """Minimise `F_k(w) + <drift, w> + mu/2 |w - anchor|^2` from `start` at each client."""

    def __call__(
        self, start: Tree, *, drift: Tree | None = None, anchor: Tree | None = None, mu: float = 0.0
    ) -> Trained: ...


@dataclass(frozen=True)
class Clients:
    """A chunk of the round's cohort, as the client side of an algorithm sees it.

    examples: float32 [C], training examples held; state: Tree_C that was kept for these clients.
    """

    examples: Tensor
    state: Tree
    solve: Solve


@dataclass(frozen=True)
class Reply:
    """`update` (Tree_C) is all that leaves a client; `weight` [C] is its say in the mean.

    state: Tree_C to keep for these clients until they take part again.
    """

    update: Tree
    weight: Tensor
    trained: Trained
    state: Tree


@dataclass(frozen=True)
class Round:
    """What the server side knows of the round: its number t = 0, 1, ..., the clients whose updates
    were accepted, and all clients there are."""

    t: int
    accepted: int
    population: int


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """client_update: (clients, message_C) -> Reply
    server_update: (server state, weighted mean of the updates, Round) -> server state
    server_init: (initial parameters) -> server state; its `model` is the global model
    message: (server state) -> what every client of the cohort is sent
    client_init: (initial parameters) -> the state of a client that never took part
    """

    client_update: Callable[[Clients, Tree], Reply]
    server_update: Callable[[Tree, Tree, Round], Tree]
    server_init: Callable[[Tree], Tree]
    message: Callable[[Tree], Tree]
    client_init: Callable[[Tree], Tree]


@dataclass(frozen=True)
class Server:
    """How the server takes a step along the mean update, which points downhill already.

    init: (params) -> optimiser state; step: (params, state, mean update, t) -> (params, state)
    """

    init: Callable[[Tree], Tree]
    step: Callable[[Tree, Tree, Tree, int], tuple[Tree, Tree]]
