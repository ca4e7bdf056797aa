"""Federated averaging.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-efficient learning of deep networks
from decentralized data", AISTATS 2017, algorithm 1 (FederatedAveraging).

| symbol | name |
| --- | --- |
| w_t, the global model | model |
| w^k - w_t, what client k sends | update |
| n_k | examples |
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.tree import Tree

Weights = Literal["examples", "uniform"] | None


def fedavg(server: Server, *, weights: Weights = None) -> Algorithm:
    """Clients train from the global model; the server moves it to the weighted mean of theirs.

    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model)
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        model, optimizer = server.step(state["model"], state["optimizer"], mean["model"], round.t)
        return Tree(model=model, optimizer=optimizer)

    return Algorithm(
        client_update=client_update,
        server_update=server_update,
        server_init=lambda params: Tree(model=params, optimizer=server.init(params)),
        message=lambda state: Tree(model=state["model"]),
        client_init=lambda params: Tree(),
    )


def client_weights(clients: Clients, weights: Weights) -> Tensor:
    """float32 [C]: n_k, or 1 for each."""
    return torch.ones_like(clients.examples) if weights == "uniform" else clients.examples
