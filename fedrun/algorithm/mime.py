"""Mime with momentum.

Karimireddy, Jaggi, Kale, Mohri, Reddi, Stich, Suresh, "Breaking the centralized barrier for
cross-device federated learning", NeurIPS 2021 (first called "Mime: mimicking centralized stochastic
algorithms in federated learning"), algorithm 1 with base algorithm SGDm. It is MimeLite
(`mimelite.py`, with what eta is) whose gradients are corrected as in SVRG:

    g_i = grad f_i(y_i; batch) - grad f_i(x; batch) + c;   c = mean of grad f_i(x) over the cohort
    y_i <- y_i - eta ((1 - beta) g_i + beta m);   m <- (1 - beta) c + beta m

| symbol | name |
| --- | --- |
| x | model |
| y_i | trained.params |
| c | survey.gradient: asked for before the clients train, in an exchange of its own |
| m | momentum, the server's |
| beta | beta |
| eta (1 - beta) | local.lr |

The correction is of the loss alone: `local.weight_decay` is exact at every step without it. What a
model draws while it trains (dropout) is drawn anew for the second gradient.

Limit: with one client beta = 0 is FedAvg, but for the correction of its own noise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from fedrun.algorithm.fedavg import client_weights
from fedrun.algorithm.mimelite import mimelite, plain_steps
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Round, Server, Survey
from fedrun.core.local import Local
from fedrun.core.option import between
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def mime(
    local: Local,
    server: Server,
    *,
    beta: Annotated[float, between(0, 1, open_high=True)] = 0.9,
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Clients step as one centralised SGD with momentum would, with the cohort's mean gradient.

    beta: memory of the momentum (paper: 0.9; 0: none).
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    plain_steps("mime", local)
    lite = mimelite(local, server, beta=beta, weights=weights)

    def survey(clients: Clients, message: Tree) -> Survey:
        gradient = clients.gradient(message["model"])[1]
        return Survey(Tree(gradient=gradient), client_weights(clients, weights))

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, common = message["model"], message["survey"]["gradient"]
        drift = common + (beta / (1 - beta)) * message["momentum"]
        trained = clients.solve(model, drift=drift, objective=corrected, context=Tree(model=model))
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        return lite.server_update(state, Tree(mean, **mean["survey"]), round)

    return replace(
        lite,
        survey=survey,
        client_update=client_update,
        server_update=server_update,
        reads_data=True,
    )


def corrected(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
    """The loss, with the gradient of `f(w) - <grad f(x), w>` on the batch."""
    start = {name: leaf.detach().requires_grad_() for name, leaf in context["model"].items()}
    # Running statistics, which have no start, are those of now; they run once.
    rest = {name: leaf.clone() for name, leaf in params.items() if name not in start}
    first = task.loss(task.outputs(Tree(start, **rest), x), y).mean()
    gradient = torch.autograd.grad(first, list(start.values()), materialize_grads=True)
    outputs = task.outputs(params, x)
    linear = sum((slope * params[name]).sum() for name, slope in zip(start, gradient, strict=True))
    assert isinstance(linear, Tensor)
    # Its value is none of the loss's business, which is recorded.
    return Losses(task.loss(outputs, y) - (linear - linear.detach()), outputs, y)
