"""CFL: clustered federated learning.

Sattler, Mueller, Samek, "Clustered federated learning: model-agnostic distributed multitask
optimization under privacy constraints", IEEE TNNLS 2021 (arXiv:1910.01991, 2019), as in the
authors' code: FedAvg in each cluster, and a cluster whose members disagree is cut in two.

    cut where |mean of Delta_i| < eps_1 and max |Delta_i| > eps_2, by cos(Delta_i, Delta_j)

| symbol | name |
| --- | --- |
| theta_c | models, by number |
| c(i) | cluster, int64 over all clients; -1 for those that never take part; in rows, as trained |
| Delta_i | update |
| eps_1, eps_2 | eps1, eps2 |

The two halves are those of agglomerative clustering with complete linkage, as in the authors' code;
`linkage=single` minimises the largest similarity across the cut, as the paper states it. Both then
move from the same model, each by its own mean. A cluster of which somebody's update is missing is
not cut. One half keeps the number of the cluster, the other gets the next free one.

`model`, which is scored as the global one, is that of the largest cluster (the first of equals);
each client's own one is its cluster's. A client that never takes part uses the model that has the
least loss on its data, where the paper follows the cuts with its update.

Differs: the paper also asks that the similarity across a cut be small enough for the noise that it
expects (gamma_max); the code does not. Every client is sent all models.

Limit: eps_1 = 0 never cuts, and is FedAvg.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from fedrun.algorithm._everybody import everybody
from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.algorithm.ifca import best, picked
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.dataset import Array
from fedrun.core.option import Size, at_least
from fedrun.core.tree import Tree

Linkage = Literal["complete", "single"]


def cfl(
    server: Server,
    population: int,
    seen: Array,
    cohort: int,
    *,
    eps1: Annotated[float, at_least(0)] = 0.4,
    eps2: Annotated[float, at_least(0)] = 1.6,
    wait: Size = 20,
    smallest: Annotated[int, at_least(2)] = 3,
    linkage: Linkage = "complete",
    weights: Weights = None,
) -> Algorithm:
    """Clients are split into clusters, each with its own model, where their updates disagree.

    eps1: a cluster may be cut when its mean update is shorter (authors' code: 0.4; 0 is FedAvg).
    eps2: and when a member's update is longer (authors' code: 1.6).
    wait: rounds before the first cut (authors' code: 20).
    smallest: clients that a cluster must have to be cut (authors' code: 3).
    linkage: how clusters are halved: complete (authors' code) or single (the paper's optimal cut).
    weights: a client counts by its examples n_k (paper), or all of a cluster alike; null: by its
        examples, or as privacy asks.
    """
    everybody("cfl", cohort, seen)

    def cluster_of(clients: Clients, message: Tree) -> Tensor:
        cluster: Tensor = message["cluster"][0].cpu()[clients.number]
        if bool((cluster < 0).any()):
            cluster = torch.where(cluster < 0, best(clients, message["models"]), cluster)
        return cluster

    def client_update(clients: Clients, message: Tree) -> Reply:
        cluster = cluster_of(clients, message)
        start = picked(message["models"], cluster)
        trained = clients.solve(start)
        return Reply(
            update=Tree(model=trained.params - start),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
            noted=Tree(cluster=cluster),
        )

    def server_update(state: Tree, updates: Tree, round: Round) -> Tree:
        assert round.weight is not None
        models, optimizers = Tree(state["models"]), Tree(state["optimizer"])
        ways = torch.cat([leaf.flatten(1) for leaf in updates["model"].leaves()], dim=1)
        cluster, weight = state["cluster"].clone(), round.weight.to(ways.device)
        clients = round.clients.to(cluster.device)
        for number in range(len(models)):
            parent, before = models[str(number)], optimizers[str(number)]
            places = (cluster[clients] == number).nonzero().squeeze(1).to(ways.device)
            whole = len(places) == int((cluster == number).sum())
            parts = [(number, places)]
            if whole and round.t >= wait and len(places) >= smallest:
                mean = mean_of(ways[places], weight[places])
                longest = ways[places].norm(dim=1).max()
                if mean.norm() < eps1 and longest > eps2:
                    first = halved(ways[places], linkage)
                    parts = [(number, places[first]), (len(models), places[~first])]
            for name, part in parts:
                if len(part):
                    cluster[clients[part.to(clients.device)]] = name
                    moved = updates["model"].map(lambda u, p=part: mean_of(u[p], weight[p]))
                    models[str(name)], optimizers[str(name)] = server.step(
                        parent, before, moved, round.t
                    )
        sizes = torch.bincount(cluster[cluster >= 0], minlength=len(models))
        return Tree(
            model=models[str(int(sizes.argmax()))],
            models=models,
            optimizer=optimizers,
            cluster=cluster,
        )

    def server_init(params: Tree) -> Tree:
        cluster = torch.full((population,), -1)
        cluster[torch.from_numpy(seen)] = 0
        return Tree(
            model=params,
            models=Tree({"0": params}),
            optimizer=Tree({"0": server.init(params)}),
            cluster=cluster.to(next(params.leaves()).device),
        )

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        server_update=server_update,
        server_init=server_init,
        message=lambda state: Tree(models=state["models"], cluster=state["cluster"]),
        personal=lambda clients, message: picked(message["models"], cluster_of(clients, message)),
        needs="each",
    )


def mean_of(leaf_C: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean over the clients of a leaf [C, ...]."""
    mean: Tensor = torch.tensordot((weight / weight.sum()).to(leaf_C), leaf_C, dims=1)
    return mean


def halved(ways: Tensor, linkage: Linkage) -> Tensor:
    """bool [C]: which of the updates [C, parameters] are on the first client's side of the cut."""
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    unit = ways / ways.norm(dim=1, keepdim=True).clamp(min=1e-12)
    apart = (1 - (unit @ unit.T).double().cpu().numpy()).clip(min=0)
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    root = hierarchy.to_tree(hierarchy.linkage(squareform(apart), method=linkage))
    side = torch.zeros(len(ways), dtype=torch.bool)
    side[root.get_left().pre_order()] = True
    return (side if side[0] else ~side).to(ways.device)
