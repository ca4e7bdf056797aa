"""MimeLite with momentum.

Karimireddy, Jaggi, Kale, Mohri, Reddi, Stich, Suresh, "Breaking the centralized barrier for
cross-device federated learning", NeurIPS 2021 (first called "Mime: mimicking centralized stochastic
algorithms in federated learning"), algorithm 1 without the correction, base algorithm SGDm: the
statistic m of the server is frozen while clients train.

    y_i <- y_i - eta ((1 - beta) grad f_i(y_i; batch) + beta m);   x <- mean of y_i
    m <- (1 - beta) mean of grad f_i(x) + beta m

| symbol | name |
| --- | --- |
| x | model |
| y_i | trained.params |
| m | momentum, the server's |
| grad f_i(x), over all that client i holds | gradient, in the same upload as y_i |
| beta | beta |
| eta (1 - beta) | local.lr |

Which eta: `local.lr` is the step per gradient, as in PyTorch's momentum, so the clients' steps read
y_i <- y_i - lr (grad f_i + beta / (1 - beta) m), and the paper's eta is lr / (1 - beta). Clients
count alike in the paper. The statistic knows of `local.weight_decay`. gradients are taken at the x
that was sent, of every client of the cohort.

Limit: beta = 0 is FedAvg.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server
from fedrun.core.local import SGD, Local
from fedrun.core.option import ConfigError, between
from fedrun.core.tree import Tree


def mimelite(
    local: Local,
    server: Server,
    *,
    beta: Annotated[float, between(0, 1, open_high=True)] = 0.9,
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Clients take steps with the server's momentum, which stays as it is while they train.

    beta: memory of the momentum (paper: 0.9; 0 is FedAvg).
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    plain = plain_steps("mimelite", local)
    average = fedavg(server, weights=weights)

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model, drift=(beta / (1 - beta)) * message["momentum"])
        return Reply(
            update=Tree(model=trained.params - model, gradient=clients.gradient(model)[1]),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        gradient = mean["gradient"] + plain.weight_decay * state["model"]
        return Tree(
            average.server_update(state, mean, round),
            momentum=(1 - beta) * gradient + beta * state["momentum"],
        )

    return replace(
        average,
        client_update=client_update,
        server_update=server_update,
        server_init=lambda params: Tree(average.server_init(params), momentum=params.zeros()),
        message=lambda state: Tree(model=state["model"], momentum=state["momentum"]),
        gradients=True,
        reads_data=True,
    )


def plain_steps(algorithm: str, local: Local) -> SGD:
    """The numbers of the local SGD, which may have no momentum of its own."""
    if local.sgd is None:
        raise ConfigError(
            f"algorithm={algorithm} puts the server's momentum into plain SGD steps and does not "
            f"work with local={local.name}; take local=sgd"
        )
    if local.sgd.momentum:
        raise ConfigError(
            f"algorithm={algorithm} has one momentum, the server's (algorithm.beta); leave "
            f"local.momentum={local.sgd.momentum:g} out"
        )
    return local.sgd
