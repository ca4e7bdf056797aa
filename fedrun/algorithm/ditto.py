"""Ditto: each client has a second model, its own, which is pulled to the global one.

Li, Hu, Beirami, Smith, "Ditto: fair and robust federated learning through personalization",
ICML 2021, algorithm 1: v_k minimises F_k(v_k) + lambda/2 |v_k - w^t|^2 beside FedAvg on w.

| symbol | name |
| --- | --- |
| w^t, the global model | model, in the message |
| v_k | model, in client k's state |
| lambda | lam |
| s, local steps on v_k | steps, or epochs |

The anchor is the global model of the same round, as the client received it. Both models see the
same batches. Limits: for lambda = 0 the own models are those of `local_only`; the global one is
FedAvg's always.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, Size, at_least
from fedrun.core.plan import Work
from fedrun.core.tree import Tree


def ditto(
    local: Local,
    server: Server,
    *,
    lam: Annotated[float, at_least(0)] = 1.0,
    epochs: Size = 0,
    steps: Size = 0,
    weights: Weights = None,
) -> Algorithm:
    """FedAvg, and beside it each client trains a model of its own near the global one.

    lam: the paper's lambda, strength of the pull to the global model (authors' scripts: 1; 0 is
        training alone).
    epochs: passes for the own model in a round; 0: `steps`, or as much as for the global one.
    steps: exactly this many steps for the own model instead; 0 counts epochs.
    weights: a client counts by its examples n_k, or all of the cohort alike; null: by its examples,
        or as privacy asks.
    """
    if epochs and steps:
        raise ConfigError(
            f"algorithm.epochs={epochs} has no effect beside algorithm.steps={steps}; give one of "
            f"them"
        )
    work = Work(epochs, steps, local.work.batch_size) if epochs or steps else None

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model)
        own = clients.solve(clients.state["model"], anchor=model, mu=lam, work=work, own=True)
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=Tree(model=own.params),
        )

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        client_init=lambda params: Tree(model=params),
        personal=lambda clients, message: clients.state["model"],
        own_buffers=True,
    )
