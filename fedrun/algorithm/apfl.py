"""APFL: adaptive personalised federated learning.

Deng, Kamani, Mahdavi, "Adaptive personalized federated learning", 2020, algorithm 1: in each local
step w <- w - eta grad f(w) and v <- v - eta grad_v f(alpha v + (1 - alpha) w), on one batch; the
server averages w, and a client uses alpha v + (1 - alpha) w.

| symbol | name |
| --- | --- |
| w | model |
| v_i | model, in client i's state |
| alpha_i | alpha, in client i's state and rows |
| eta | local.lr |

Its equation 10 adapts alpha_i along <v_i - w, grad f(alpha v_i + (1 - alpha) w)>, held in [0, 1].
The gradient with respect to v has the factor alpha.

Differs: alpha_i is adapted once a round, before the local steps, with the gradient over all that
the client holds; the authors' code does it at the round's first batch. That code also mixes the
models' outputs, and the paper, as here, their weights. The recorded loss is that of w.

Limits: w is FedAvg's always; for alpha = 0 a client uses w, for alpha = 1 it trains alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from torch import Tensor

from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, Fraction, at_least
from fedrun.core.task import Task
from fedrun.core.tree import Tree, per_client


def apfl(
    local: Local,
    server: Server,
    *,
    alpha: Fraction = 0.5,
    alpha_lr: Annotated[float, at_least(0)] = 0.0,
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Each client uses a mixture of the global model and one of its own.

    alpha: the own model's part of the mixture (0: the global model; 1: training alone).
    alpha_lr: step size at which each client adapts its alpha (0: it stays).
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    if local.clip_norm is not None:
        raise ConfigError(
            f"algorithm=apfl trains two models at once, whose gradients "
            f"local.clip_norm={local.clip_norm:g} would clip as one; leave it out"
        )

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, own, part = message["model"], clients.state["model"], clients.state["alpha"]
        if alpha_lr:
            _, slope = clients.gradient(mixture(own, model, part))
            along = sum(
                (leaf * slope[name]).flatten(1).sum(1) for name, leaf in (own - model).items()
            )
            part = (part - alpha_lr * along).clamp(0, 1)
        trained = clients.solve(
            Tree(model=model, personal=own), objective=both_losses, context=Tree(alpha=part)
        )
        return Reply(
            update=Tree(model=trained.params["model"] - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=Tree(model=trained.params["personal"], alpha=part),
            noted=Tree(alpha=part),
        )

    def personal(clients: Clients, message: Tree) -> Tree:
        return mixture(clients.state["model"], message["model"], clients.state["alpha"])

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        client_init=lambda params: Tree(model=params, alpha=number_like(params, alpha)),
        personal=personal,
        own_buffers=True,
        gradients=alpha_lr > 0,
        reads_data=True,
    )


def number_like(params: Tree, value: float) -> Tensor:
    """float [], where the parameters are."""
    leaf: Tensor = next(params.leaves())
    return leaf.new_full((), value)


def mixture(own: Tree, model: Tree, alpha: Tensor) -> Tree:
    """alpha v + (1 - alpha) w of each client; Trees_C and alpha [C]."""
    return per_client(own, alpha) + per_client(model, 1 - alpha)


def both_losses(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
    """f(w) + f(alpha v + (1 - alpha) w), of which the second moves v alone, and is not recorded."""
    alpha, model, own = context["alpha"], params["model"], params["personal"]
    mixed = Tree(own)  # with its running statistics
    for name in task.parameters:
        mixed[name] = alpha * own[name] + (1 - alpha) * model[name].detach()
    outputs = task.outputs(model, x)
    loss = task.loss(task.outputs(mixed, x), y)
    return Losses(task.loss(outputs, y) + (loss - loss.detach()), outputs, y)
