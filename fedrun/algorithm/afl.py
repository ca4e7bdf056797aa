"""AFL: agnostic federated learning.

Mohri, Sivek, Suresh, "Agnostic federated learning", ICML 2019, Stochastic-AFL: minimise over w the
largest loss sum_k lambda_k F_k(w) that any mixture lambda of the clients has.

    w <- w - gamma_w grad_w sum_k lambda_k F_k(w);   lambda <- project(lambda + gamma_l (F_k(w))_k)

| symbol | name |
| --- | --- |
| w | model |
| lambda | mixture, float64 over all clients; 0 for those that never take part |
| mean of lambda_1, ..., lambda_T | mixture_mean |
| F_k(w), over all that client k holds | loss |
| gamma_w, gamma_l | local.lr, ascent |
| project | on_simplex |

Both steps start from the same w and lambda. lambda begins with equal shares.

Differs: the paper takes one gradient step a round, and so does this with `local.steps=1`; with
more the model moves to the mean of the clients' models, weighted by lambda. The paper draws a batch
for the losses, here they are exact. Its theory is about the mean of all w; here the last is kept.

Limit: gamma_l = 0 is FedAvg with `algorithm.weights=uniform`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from fedrun.algorithm._everybody import everybody
from fedrun.algorithm.fedavg import fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.dataset import Array
from fedrun.core.option import at_least
from fedrun.core.tree import Tree


def afl(
    server: Server,
    population: int,
    seen: Array,
    cohort: int,
    *,
    ascent: Annotated[float, at_least(0)] = 0.1,
) -> Algorithm:
    """The model is trained for the mixture of clients that it serves worst.

    ascent: step size of the mixture, up the clients' losses (q-FFL's comparison: 0.1; 0 is FedAvg
        with equal weights).
    """
    everybody("afl", cohort, seen)
    average = fedavg(server, weights="uniform")

    def client_update(clients: Clients, message: Tree) -> Reply:
        reply = average.client_update(clients, message)
        loss = clients.loss(message["model"]).to(next(message["model"].leaves()))
        return replace(reply, update=Tree(reply.update, loss=loss))

    def server_update(state: Tree, updates: Tree, round: Round) -> Tree:
        mixture, passed = state["mixture"], state["mixture_mean"]
        clients = round.clients.to(mixture.device)
        share = mixture[clients]
        share = share / share.sum().clamp(min=torch.finfo(share.dtype).tiny)
        mean = updates["model"].map(lambda leaf: torch.tensordot(share.to(leaf), leaf, dims=1))
        # Whose loss is not known this round is not moved up.
        raised = mixture.index_add(0, clients, ascent * updates["loss"].to(mixture))
        return Tree(
            average.server_update(state, Tree(model=mean), round),
            mixture=on_simplex(raised),
            mixture_mean=passed + (mixture - passed) / (round.t + 1),
        )

    def server_init(params: Tree) -> Tree:
        mixture = torch.zeros(population, dtype=torch.float64)
        mixture[torch.from_numpy(seen)] = 1 / len(seen)
        mixture = mixture.to(next(params.leaves()).device)
        return Tree(
            average.server_init(params), mixture=mixture, mixture_mean=torch.zeros_like(mixture)
        )

    return replace(
        average,
        client_update=client_update,
        server_update=server_update,
        server_init=server_init,
        needs="each",
        reads_data=True,
    )


def on_simplex(point: Tensor) -> Tensor:
    """The nearest [N] of numbers that are not negative and sum to 1 (Duchi et al., ICML 2008)."""
    ordered = point.sort(descending=True).values
    excess = (ordered.cumsum(0) - 1) / torch.arange(1, len(point) + 1).to(point)
    last = int((ordered > excess).nonzero().max())
    return (point - excess[last]).clamp(min=0)
