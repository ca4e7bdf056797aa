"""IFCA: the iterative federated clustering algorithm.

Ghosh, Chung, Yin, Ramchandran, "An efficient framework for clustered federated learning", NeurIPS
2020, algorithm 1 with model averaging: the server keeps k models; client i trains the one with the
least loss on its data, and each model moves to the mean of the clients that chose it.

| symbol | name |
| --- | --- |
| theta_j | models, by number |
| F_i(theta_j), over all that client i holds | clients.loss |
| j_i, the cluster of client i | chosen; kept by it as `cluster`, -1 before its first round |
| s_ij | slot: 1 where j = j_i |

A model that nobody chose stays. The models start independently of each other, the first as any
other method's; from some starts all clients choose alike for good, and another `seed` helps. With
running statistics (BatchNorm) all models share one set.

`model`, which is scored as the global one, is that of the last round's largest cluster (the first
of equals); each client's own one is the model that it would choose now.

Differs: a client sends k places, all but one of them zeros, so that a sum is all that the server
needs to see; the paper's client sends one model and j_i, a k-th of it.

Limit: one cluster is FedAvg.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.option import ConfigError, Count
from fedrun.core.tree import Tree, per_client


def ifca(
    server: Server,
    another: Callable[[int], Tree],
    *,
    clusters: Count = 4,
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Several models; each client trains the one that fits its data best.

    clusters: the paper's k, how many models there are (paper: 2 to 4; 1 is FedAvg).
    weights: a client counts by its examples n_k, or all clients of a cluster count alike (paper);
        the largest cluster is the largest by these too.
    """

    def client_update(clients: Clients, message: Tree) -> Reply:
        chosen = best(clients, message["models"])
        start = picked(message["models"], chosen)
        trained = clients.solve(start)
        way = trained.params - start
        slot = F.one_hot(chosen, clusters).to(next(way.leaves()))
        moved = Tree((str(j), per_client(way, slot[:, j])) for j in range(clusters))
        return Reply(
            update=Tree(model=moved, slot=slot),
            weight=client_weights(clients, weights),
            trained=trained,
            state=Tree(cluster=chosen),
            noted=Tree(cluster=chosen),
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        models, optimizers = Tree(state["models"]), Tree(state["optimizer"])
        for j, share in enumerate(mean["slot"].tolist()):
            if share > 0:
                name = str(j)
                models[name], optimizers[name] = server.step(
                    models[name], optimizers[name], mean["model"][name] / share, round.t
                )
        largest = str(int(mean["slot"].argmax()))
        return Tree(model=models[largest], models=models, optimizer=optimizers)

    def server_init(params: Tree) -> Tree:
        device = next(params.leaves()).device
        models = Tree({"0": params})
        for j in range(1, clusters):
            models[str(j)] = another(j).map(lambda leaf: leaf.to(device))
            if all(map(torch.equal, models[str(j)].leaves(), params.leaves())):
                raise ConfigError(
                    "algorithm=ifca tells its models apart by how they start, and this model "
                    "always starts alike; leave model.init out, or take algorithm.clusters=1"
                )
        optimizers = Tree((name, server.init(model)) for name, model in models.items())
        return Tree(model=params, models=models, optimizer=optimizers)

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        server_update=server_update,
        server_init=server_init,
        message=lambda state: Tree(models=state["models"]),
        client_init=lambda params: Tree(cluster=torch.tensor(-1)),
        personal=lambda clients, message: picked(
            message["models"], best(clients, message["models"])
        ),
        reads_data=True,
        divides=True,
    )


def best(clients: Clients, models: Tree) -> Tensor:
    """int64 [C]: the number of the model with the least loss on each client's data."""
    return torch.stack([clients.loss(model) for model in models.values()], dim=1).argmin(1)


def picked(models: Tree, chosen: Tensor) -> Tree:
    """Tree_C: each client's model of this number."""
    first, *rest = models.values()
    each = torch.arange(len(chosen))

    def pick(*leaves: Tensor) -> Tensor:
        return torch.stack(leaves)[chosen.to(leaves[0].device), each.to(leaves[0].device)]

    start: Tree = first.map(pick, *rest)
    return start
