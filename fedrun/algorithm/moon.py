"""MOON: model-contrastive federated learning.

Li, He, Song, "Model-contrastive federated learning", CVPR 2021, algorithm 1: client i minimises
CE(w) + mu l_con(w), which draws what its model makes of an example to what the global model makes
of it, and away from what the client's own last model did.

    l_con = -log(e_glob / (e_glob + e_prev));   e = exp(sim(z, .) / tau) at z_glob and at z_prev

| symbol | name |
| --- | --- |
| w^t | model |
| w_i^(t-1), client i's last model | own; before its first round the initial model |
| z, z_glob, z_prev: what enters the last linear layer | z, ahead, behind |
| sim | cosine similarity |
| mu, tau | mu, tau |

The paper's models have a projection head between encoder and output layer, and its z is what the
head gives, which is the last layer's input there too (`model=lenet model.projection=256`). A model
without one uses its last hidden layer, whose ReLU leaves no cosine below 0. No gradient flows into
the two other models.

Limits: mu = 0 is FedAvg. In the first round z_glob = z_prev, so l_con is log 2 whatever w is, and
clients train as FedAvg's.

Differs: the other two models run in the same mode as the one that is trained, so that batch
statistics, which do not travel with them, are those of the batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Server
from fedrun.core.option import ConfigError, above, at_least
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def moon(
    task: Task,
    server: Server,
    *,
    mu: Annotated[float, at_least(0)] = 1.0,
    tau: Annotated[float, above(0)] = 0.5,
    weights: Weights = None,
) -> Algorithm:
    """Clients keep their representations near the global model's and away from their last one's.

    mu: strength of the contrast (paper: 5 on CIFAR-10, 1 on CIFAR-100; 0 is FedAvg).
    tau: temperature of the contrast (paper: 0.5).
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    refuse_flat(task)

    def objective(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
        z, outputs = task.representation(params, x)
        with torch.no_grad():
            ahead, behind = (task.representation(context[n], x)[0] for n in ("model", "own"))
        nearer = F.cosine_similarity(z, ahead) - F.cosine_similarity(z, behind)
        return Losses(task.loss(outputs, y) + mu * F.softplus(-nearer / tau), outputs, y)

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, own = message["model"], clients.state["own"]
        trained = (
            clients.solve(model, objective=objective, context=Tree(model=model, own=own))
            if mu
            else clients.solve(model)
        )
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=Tree(own=trained.params),
        )

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        client_init=lambda params: Tree(own=params),
        reads_data=True,
    )


def refuse_flat(task: Task) -> None:
    """Without a parameter before the last linear layer there is nothing to contrast."""
    layers = [layer for layer in task.module.modules() if isinstance(layer, nn.Linear)]
    last = {id(p) for p in layers[-1].parameters()} if layers else set()
    if not layers or all(id(p) in last for p in task.parameters.values()):
        raise ConfigError(
            "algorithm=moon compares what enters a model's last linear layer, and this model has "
            "nothing before one; take a model with a hidden layer, such as model=mlp"
        )
