"""FedProx.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated optimization in heterogeneous networks",
MLSys 2020, algorithm 2: client k minimises h_k(w; w_t) = F_k(w) + mu/2 |w - w_t|^2 inexactly.

| symbol | name |
| --- | --- |
| w_t, the global model | model, which is start and anchor at once |
| mu | mu |

Differs: the paper draws clients in proportion to n_k and averages them uniformly; here both are
options of their own (`clients.sampling`, `algorithm.weights`), set as in FedAvg by default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Server
from fedrun.core.option import at_least
from fedrun.core.tree import Tree


def fedprox(
    server: Server,
    *,
    mu: Annotated[float, at_least(0)] = 0.01,
    weights: Weights = None,
) -> Algorithm:
    """FedAvg whose clients are pulled back to where they started.

    mu: strength of the pull (paper: 0.001 to 1; 0 is FedAvg).
    weights: a client counts by its examples n_k, or all of the cohort alike; null: by its examples,
        or as privacy asks.
    """

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model, anchor=model, mu=mu)
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    return replace(fedavg(server, weights=weights), client_update=client_update)
