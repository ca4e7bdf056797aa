"""FedNova: normalised averaging.

Wang, Liu, Liang, Joshi, Poor, "Tackling the objective inconsistency problem in heterogeneous
federated optimization", NeurIPS 2020, algorithm 1 with section 5's normalising vectors.

    d_k = (x - w_k) / |a_k|_1;   x <- x - tau_eff sum_k p_k d_k;   tau_eff = sum_k p_k |a_k|_1

| symbol | name |
| --- | --- |
| x | model |
| w_k | trained.params |
| p_k = n_k / n over the cohort | weight |
| tau_k | trained.steps |
| abs(a_k)_1 | norm: the sum of the weights that w_k gives to the gradients, in units of eta |
| eta, rho | local.lr, local.momentum |
| mu | mu |
| tau_eff | steps, its weighted mean |

SGD: |a_k|_1 = tau. Momentum: [tau - rho (1 - rho^tau) / (1 - rho)] / (1 - rho). Proximal:
[1 - (1 - eta mu)^tau] / (eta mu). Weight decay does not enter, as in the authors' code.

Differs: with momentum and mu together the authors' code adds the pull behind the momentum, and
here it is part of the gradient that the momentum sums; |a_k|_1 is that of the steps taken here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server, Trained
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, at_least
from fedrun.core.tree import Tree, per_client


def fednova(
    local: Local,
    server: Server,
    *,
    mu: Annotated[float, at_least(0)] = 0.0,
    tau_eff: Literal["code", "norm", "steps"] = "code",
    weights: Weights = None,
) -> Algorithm:
    """Each client's way is divided by how far its steps carry, so that no client counts by them.

    mu: strength of FedProx's pull to where a client started; 0 is none.
    tau_eff: how far the server goes: the mean of |a_k|_1 (norm, the paper's), of the number of
        steps (steps), or norm without a pull and steps with one (code, as the authors' code does).
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    if local.displacement is None:
        raise ConfigError(
            f"algorithm=fednova knows how far SGD steps carry and does not work with "
            f"local={local.name}; take local=sgd"
        )
    if mu and local.sgd is None:
        raise ConfigError(f"algorithm.mu={mu:g} needs local=sgd, not {local.name}; take mu=0")
    if mu and local.clip_norm is not None:
        raise ConfigError(
            f"algorithm=fednova with mu={mu:g} cannot tell how far clipped steps carry; leave "
            f"local.clip_norm={local.clip_norm:g} out or take algorithm.mu=0"
        )
    raw = tau_eff == "steps" or (tau_eff == "code" and mu > 0)
    momentum = local.sgd.momentum if local.sgd else 0.0
    average = fedavg(server, weights=weights)

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model, anchor=model, mu=mu) if mu else clients.solve(model)
        norm = norms(trained, momentum, mu)
        update = per_client(trained.params - model, 1 / norm)
        steps = (trained.steps if raw else norm).to(next(update.leaves()))
        return Reply(
            update=Tree(model=update, steps=steps),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        return average.server_update(state, Tree(model=mean["model"] * mean["steps"]), round)

    return replace(average, client_update=client_update, server_update=server_update, divides=True)


def norms(trained: Trained, momentum: float, mu: float) -> Tensor:
    """float64 [C]: |a_k|_1, the way of each client if every gradient were 1, in units of lr."""
    assert trained.weigh is not None
    lr = trained.weigh(torch.ones(1, dtype=torch.float64)).item()  # one step goes lr far
    if not mu:
        return trained.displacement / lr
    steps, pull = trained.steps.double(), lr * mu
    if not momentum:
        return (1 - (1 - pull) ** steps) / pull
    way, velocity = torch.zeros_like(steps), torch.zeros_like(steps)
    for step in range(int(steps.max())):
        velocity = momentum * velocity + 1 - pull * way
        way = torch.where(steps > step, way + velocity, way)
    return way
