"""FedProx.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated optimization in heterogeneous networks",
MLSys 2020, algorithm 2: client k minimises h_k(w; w_t) = F_k(w) + mu/2 |w - w_t|^2 inexactly.

| symbol | name |
| --- | --- |
| w_t, the global model | model, which is start and anchor at once |
| mu | mu |
| f(w_t), the loss of the global model | survey.loss: asked for before the clients train |
| by how much mu is adapted (section 5.3.2) | adapt |

Adaptive mu is the paper's heuristic: mu grows by 0.1 when f has grown, and falls by 0.1 when f has
fallen, here: has not grown, five times in a row. The paper begins with 1 on IID data and 0 on
others.

Differs: the paper draws clients in proportion to n_k and averages them uniformly; here both are
options of their own (`clients.sampling`, `algorithm.weights`), set as in FedAvg by default. f is
that of the round's cohort, which is all a server can ask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server, Survey
from fedrun.core.option import at_least
from fedrun.core.tree import Tree

FALLS = 5


def fedprox(
    server: Server,
    *,
    mu: Annotated[float, at_least(0)] = 0.01,
    adapt: Annotated[float, at_least(0)] = 0.0,
    weights: Weights = None,
) -> Algorithm:
    """FedAvg whose clients are pulled back to where they started.

    mu: strength of the pull (paper: 0.001 to 1; 0 is FedAvg).
    adapt: by how much mu grows when the loss has, and falls after five falls of the loss in a row
        (paper: 0.1; 0 keeps mu).
    weights: a client counts by its examples n_k, or all of the cohort alike; null: by its examples,
        or as privacy asks.
    """
    average = fedavg(server, weights=weights)

    def reply(clients: Clients, model: Tree, mu: float) -> Reply:
        trained = clients.solve(model, anchor=model, mu=mu)
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    if not adapt:
        return replace(
            average, client_update=lambda clients, message: reply(clients, message["model"], mu)
        )

    def survey(clients: Clients, message: Tree) -> Survey:
        loss = clients.loss(message["model"]).to(next(message["model"].leaves()))
        return Survey(Tree(loss=loss), client_weights(clients, weights))

    def client_update(clients: Clients, message: Tree) -> Reply:
        pull = adapted(message["pull"][0], message["survey"]["loss"][0], adapt)
        return reply(clients, message["model"], pull[0].item())

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        pull = adapted(state["pull"], mean["survey"]["loss"], adapt)
        return Tree(average.server_update(state, mean, round), pull=pull)

    return replace(
        average,
        survey=survey,
        client_update=client_update,
        server_update=server_update,
        server_init=lambda params: Tree(
            average.server_init(params), pull=torch.tensor([mu, 0.0, -1.0], dtype=torch.float64)
        ),
        message=lambda state: Tree(model=state["model"], pull=state["pull"]),
        reads_data=True,
    )


def adapted(pull: Tensor, loss: Tensor, step: float) -> Tensor:
    """float64 [3]: mu, the last loss, and how often in a row the loss has not grown (-1: there was
    no loss yet), when a new loss is known."""
    mu, last, falls = pull.tolist()
    now = loss.item()
    if falls >= 0 and now > last:
        mu, falls = mu + step, 0
    else:
        falls += 1
    if falls == FALLS:
        mu, falls = max(mu - step, 0.0), 0
    return pull.new_tensor([mu, now, falls])
