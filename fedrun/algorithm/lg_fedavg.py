"""LG-FedAvg: each client has its own representation, and the last layers are shared.

Liang, Liu, Ziyin, Allen, Auerbach, Brent, Salakhutdinov, Morency, "Think locally, act globally:
federated learning with local and global representations", 2020, algorithm 1.

| symbol | name |
| --- | --- |
| theta_m^l, client m's local model | body, in the client's state |
| theta^g, the global model | head, the server's model |
| N_m / N | weight |

Both parts are trained together on the client's own loss. Running statistics (BatchNorm) stay with
the representation. It is FedPer with the parts exchanged.

Differs: the authors start from a model that FedAvg has trained; here all start from one set of
first weights. Their self-supervised and fair variants of the local loss are left out.
"""

from __future__ import annotations

from dataclasses import replace

from fedrun.algorithm._layers import body_and_head
from fedrun.algorithm._partly import partly_shared
from fedrun.algorithm.fedavg import Weights
from fedrun.core.algorithm import Algorithm, Clients, Server, Trained
from fedrun.core.option import Count
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def lg_fedavg(
    task: Task,
    server: Server,
    *,
    head: Count = 1,
    weights: Weights = None,
) -> Algorithm:
    """Clients share the last layers of the model alone.

    head: how many of the last linear layers are shared; the rest stays with the client.
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """

    def train(clients: Clients, model: Tree) -> Trained:
        return clients.solve(model)

    own, shared = body_and_head("lg_fedavg", task, head)
    shares = partly_shared(task, server, train, shared=shared, own=own, weights=weights)
    return replace(shares, keeps_buffers=bool(task.buffers))
