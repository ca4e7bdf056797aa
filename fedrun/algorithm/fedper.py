"""FedPer: the last layers stay with the clients.

Arivazhagan, Aggarwal, Singh, Choudhary, "Federated learning with personalization layers", 2019,
algorithms 1 and 2: clients train base and personalization layers together, and send the base.

| symbol | name |
| --- | --- |
| W_B, the base layers | body, the server's model |
| W_P_j, client j's personalization layers | head, in the client's state |
| K_P, how many of these | head |
| gamma_j = n_j / n | weight |

Differs: the paper counts blocks of a ResNet as layers; here the linear ones count, and what stands
between or behind them goes with them. Heads start alike, as everything does. Running statistics
(BatchNorm) are averaged, also those of the head. Limit: without a head it is FedAvg.
"""

from __future__ import annotations

from fedrun.algorithm._layers import body_and_head
from fedrun.algorithm._partly import partly_shared
from fedrun.algorithm.fedavg import Weights
from fedrun.core.algorithm import Algorithm, Clients, Server, Trained
from fedrun.core.option import Size
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def fedper(
    task: Task,
    server: Server,
    *,
    head: Size = 1,
    weights: Weights = None,
) -> Algorithm:
    """Clients share all but the last layers of the model.

    head: how many of the last linear layers a client keeps to itself (0 is FedAvg).
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """

    def train(clients: Clients, model: Tree) -> Trained:
        return clients.solve(model)

    body, own = body_and_head("fedper", task, head)
    return partly_shared(task, server, train, shared=body, own=own, weights=weights)
