"""SCAFFOLD: stochastic controlled averaging.

Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: stochastic controlled averaging for
federated learning", ICML 2020, algorithm 1 with option II for the control variates.

| symbol | name |
| --- | --- |
| x | model |
| y_i | trained.params |
| c | control, the server's |
| c_i | own, client i's; kept between rounds, also while it is not sampled |
| K eta_l | trained.displacement |
| eta_g | server.lr |

Differs: with local momentum rho the paper's c_i+ = c_i - c + (x - y_i) / (K eta_l) would be about
1 / (1 - rho) too large; here K eta_l is the true total weight of the K gradients in x - y_i
(FedNova's |a|_1), which is K eta_l when rho = 0. Clients count alike, as in the paper. With
weight decay the control variates average the gradients of the regularized loss.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from fedrun.algorithm.fedavg import fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree, per_client


def scaffold(local: Local, server: Server) -> Algorithm:
    """Control variates cancel the drift between clients, for twice the traffic."""
    if local.displacement is None:
        raise ConfigError(
            f"algorithm=scaffold reads its control variates off plain SGD steps and does not work "
            f"with local={local.name}; take local=sgd"
        )
    if local.clip_norm is not None:
        raise ConfigError(
            f"algorithm=scaffold reads its control variates off the local steps, which "
            f"local.clip_norm={local.clip_norm:g} would shorten; leave it out"
        )
    average = fedavg(server, weights="uniform")

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, control, own = message["model"], message["control"], clients.state["control"]
        trained = clients.solve(model, drift=control - own)
        update = trained.params - model
        renewed = own - control - per_client(update, 1 / trained.displacement)
        return Reply(
            update=Tree(model=update, control=renewed - own),
            weight=torch.ones_like(clients.examples),
            trained=trained,
            state=Tree(control=renewed),
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        control = state["control"] + (round.accepted / round.population) * mean["control"]
        return Tree(average.server_update(state, mean, round), control=control)

    return replace(
        average,
        client_update=client_update,
        server_update=server_update,
        server_init=lambda params: Tree(average.server_init(params), control=params.zeros()),
        message=lambda state: Tree(model=state["model"], control=state["control"]),
        client_init=lambda params: Tree(control=params.zeros()),
    )
