"""Clients whose local steps hide each example, as an algorithm sees them.

All that an algorithm learns of a client's examples, it learns from `solve`, whose steps are noised.
What shows the examples otherwise - losses and gradients over all of them, and objectives whose
gradients nobody clips - is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fedrun.core.algorithm import Clients, Objective, Trained
from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError
from fedrun.core.plan import ChunkPlan, Work
from fedrun.core.poisson_plan import poisson_plan
from fedrun.core.tree import Tree

if TYPE_CHECKING:
    from fedrun.core.federation import Federation, Job

PHASE_BITS = 16  # solves of a client in one phase of a round


def private_clients(
    clients: Clients, federation: Federation, job: Job, phase: int = 0
) -> tuple[Clients, Array]:
    """The clients of a job, and int64 [C], the noised steps that they have taken since.

    phase: which part of a round this is, such as a survey, training or the making of personal
    models. In a phase every solve has batches and noise of its own, whatever its `turn`: two that
    shared their noise would tell the examples by their difference.
    """
    steps, taken = federation.steps, np.zeros(len(job.clients), np.int64)
    assert steps is not None
    solver: Callable[[ChunkPlan], Any] = federation.general.private(steps)
    solves = count(phase << PHASE_BITS)

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
        if objective is not None:
            refuse("minimises a loss of its own")
        much, epochs = (federation.work, job.epochs) if work is None else (work, None)
        plan = poisson_plan(
            federation.held, much, steps.streams, job.round, job.clients, epochs, next(solves)
        )
        np.add(taken, plan.steps, out=taken)
        trained: Trained = solver(plan)(
            start, drift=drift, anchor=anchor, mu=mu, only=only, objective=None, context=None
        )
        return trained

    private = replace(
        clients,
        solve=solve,
        loss=lambda params: refuse("asks for losses over all that a client holds"),
        gradient=lambda params: refuse("asks for gradients over all that a client holds"),
    )
    return private, taken


def refuse(what: str) -> NoReturn:
    raise ConfigError(
        f"privacy=example noises local steps and nothing else, and this algorithm {what}; take one "
        f"that only trains, such as algorithm=fedavg, fedprox or scaffold"
    )
