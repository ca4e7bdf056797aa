"""FedLin, without its sparse gradients.

Mitra, Jaafar, Pappas, Hassani, "Linear convergence in federated learning: tackling client
heterogeneity and sparse gradients", NeurIPS 2021, algorithm 1 (FedLin):

    w_i <- w_i - eta_i (grad f_i(w_i) - grad f_i(x_t) + g_t);   g_t = mean of grad f_i(x_t)
    x_(t+1) = mean of w_i

| symbol | name |
| --- | --- |
| x_t | model |
| w_i | trained.params |
| g_t | survey.gradient: asked for before the clients train, in an exchange of its own |
| grad f_i(x_t), over all that client i holds | gradient |
| tau_i, the steps that client i plans to take | steps |
| eta_i | local.lr, or local.lr / tau_i |

The optimum of the mean of the f_i is a fixed point whatever number of steps each client takes, so
local work may be uneven. Batches replace grad f_i(w_i) only. Clients count alike in the paper; the
optimum of the pooled data needs `weights=examples` where they hold unequally much.

The paper's eta_i is eta / tau_i, so that all go about equally far: `pace=shared`. With one learning
rate for all (`pace=own`) a client goes the further the more steps it takes, as in other methods,
and every engine's fast path can be used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import Tensor

from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Server, Survey
from fedrun.core.local import Local
from fedrun.core.option import ConfigError
from fedrun.core.task import Task
from fedrun.core.tree import Tree, per_client


def fedlin(
    local: Local,
    server: Server,
    *,
    pace: Literal["own", "shared"] = "own",
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Each client's gradients are corrected by the whole cohort's gradient of the same round.

    pace: steps of local.lr (own), or of local.lr divided by the client's steps in the round
        (shared, the paper's).
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    if pace == "shared" and (local.sgd is None or local.sgd.weight_decay or local.clip_norm):
        raise ConfigError(
            "algorithm.pace=shared divides the gradients of plain SGD: it needs local=sgd without "
            "local.weight_decay and local.clip_norm; or take algorithm.pace=own"
        )

    def survey(clients: Clients, message: Tree) -> Survey:
        gradient = clients.gradient(message["model"])[1]
        return Survey(Tree(gradient=gradient), client_weights(clients, weights))

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, common = message["model"], message["survey"]["gradient"]
        drift = common - clients.gradient(model)[1]
        if pace == "own":
            trained = clients.solve(model, drift=drift)
        else:
            part = 1 / clients.steps.to(next(model.leaves()))
            trained = clients.solve(
                model, drift=per_client(drift, part), objective=slower, context=Tree(part=part)
            )
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    return replace(
        fedavg(server, weights=weights),
        survey=survey,
        client_update=client_update,
        gradients=True,
        reads_data=True,
    )


def slower(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
    """The loss with a part of its gradient, which is a part of the learning rate."""
    outputs = task.outputs(params, x)
    loss = task.loss(outputs, y)
    return Losses(loss.detach() + context["part"] * (loss - loss.detach()), outputs, y)
