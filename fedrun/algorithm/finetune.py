"""FedAvg and fine-tuning: each client trains the global model on for a while, for itself.

Wang, Mathews, Kiddon, Eichner, Beaufays, Ramage, "Federated evaluation of on-device
personalization", 2019; as a baseline, and why it works, Collins, Hassani, Mokhtari, Shakkottai,
"FedAvg with fine tuning: local updates lead to representation learning", NeurIPS 2022.

| symbol | name |
| --- | --- |
| w_t, the global model | model |
| tau, epochs of fine-tuning | epochs |

Training is FedAvg's. Only when it is scored does a client start from the global model, go through
its own examples `epochs` times with the local optimiser at this round's learning rate, and keep
nothing of it.
"""

from __future__ import annotations

from dataclasses import replace

from fedrun.algorithm.fedavg import Weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Server
from fedrun.core.local import Local
from fedrun.core.option import Size
from fedrun.core.plan import Work
from fedrun.core.tree import Tree


def finetune(
    local: Local,
    server: Server,
    *,
    epochs: Size = 1,
    weights: Weights = None,
) -> Algorithm:
    """FedAvg, and each client trains the global model on for itself before it uses it.

    epochs: passes over a client's own examples that make its model (0: the global model as it
        is, scored on each client's share).
    weights: a client counts by its examples n_k, or all of the cohort alike; null: by its examples,
        or as privacy asks.
    """
    work = Work(epochs, 0, local.work.batch_size)

    def personal(clients: Clients, message: Tree) -> Tree:
        model = message["model"]
        return clients.solve(model, work=work, turn=1).params if epochs else model

    return replace(fedavg(server, weights=weights), personal=personal)
