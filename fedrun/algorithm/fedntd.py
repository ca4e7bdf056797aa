"""FedNTD: federated not-true distillation.

Lee, Jeong, Shin, Bae, Yun, "Preservation of the global knowledge by not-true distillation in
federated learning", NeurIPS 2022:

    L = CE(z, y) + beta tau^2 KL(q~_g || q~);   q~ = softmax of z / tau over the classes but y

| symbol | name |
| --- | --- |
| z, z_g: outputs of the client's and of the global model | outputs, taught |
| q~, q~_g: without the true class y | student, teacher |
| beta, tau | beta, tau |

tau^2, which keeps the gradient's size while tau changes, is in the authors' code. No gradient flows
into the global model, which is the one the client started the round from.

Limit: beta = 0 is FedAvg.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Server
from fedrun.core.option import ConfigError, above, at_least
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def fedntd(
    task: Task,
    server: Server,
    *,
    beta: Annotated[float, at_least(0)] = 1.0,
    tau: Annotated[float, above(0)] = 3.0,
    weights: Weights = None,
) -> Algorithm:
    """Clients keep what the global model says of the classes that an example is not of.

    beta: strength of the distillation (authors' code: 1; 0 is FedAvg).
    tau: temperature of both models' outputs (authors' code: 3).
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    if task.spec.kind not in ("classes", "tokens") or task.spec.outputs < 3:
        raise ConfigError(
            "algorithm=fedntd teaches the classes that are not the true one, and this task has "
            "fewer than two of them; take a task of three classes or more"
        )

    def objective(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
        outputs = task.outputs(params, x)
        with torch.no_grad():
            taught = task.outputs(context, x)
        teacher = (not_true(taught, y) / tau).log_softmax(-1)
        student = (not_true(outputs, y) / tau).log_softmax(-1)
        apart = F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
        apart = apart.view(len(y), -1).mean(-1)
        return Losses(task.loss(outputs, y) + beta * tau**2 * apart, outputs, y)

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = (
            clients.solve(model, objective=objective, context=model)
            if beta
            else clients.solve(model)
        )
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    return replace(fedavg(server, weights=weights), client_update=client_update, reads_data=True)


def not_true(outputs: Tensor, y: Tensor) -> Tensor:
    """[N, K - 1] of [..., K]: each row without its true class."""
    rows = outputs.reshape(-1, outputs.shape[-1])
    true = F.one_hot(y.flatten(), outputs.shape[-1]).bool()
    return rows[~true].view(len(rows), -1)
