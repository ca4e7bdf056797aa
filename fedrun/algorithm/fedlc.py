"""FedLC: logits calibration.

Zhang, Li, Li, Xu, Wu, Ding, Wu, "Federated learning with label distribution skew via logits
calibration", ICML 2022: client i's cross entropy is that of the outputs

    f_c(x) - tau n_c^(-1/4)

so that a class it holds little of must win by more.

| symbol | name |
| --- | --- |
| f(x) | outputs |
| n_c, client i's examples of class c | counts |
| tau n_c^(-1/4) | margin |
| tau | tau |

Differs: for a class that a client does not hold the paper's margin is infinite; n_c = 1e-8 stands
for 0, as in other implementations, a margin of 100 tau. The softmax is over all classes, as in
FL-bench and fluke; the paper's sum may leave the right one out (i != y), and which of the two it
means is unverified. What is recorded of training is the calibrated loss, and the accuracy of the
outputs as they are.

Limit: tau = 0 is FedAvg, and so is a client that holds equally much of every class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from fedrun.algorithm.fedavg import Weights, client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Server
from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError, at_least
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def fedlc(
    task: Task,
    server: Server,
    counts: Callable[[], Array],
    *,
    tau: Annotated[float, at_least(0)] = 1.0,
    weights: Weights = None,
) -> Algorithm:
    """Clients train with margins for the classes they hold little of.

    tau: size of the margins (paper: tuned; 0 is FedAvg).
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    if task.spec.kind != "classes":
        raise ConfigError(
            f"algorithm=fedlc counts a client's examples of each class, and the targets of this "
            f"task are of kind {task.spec.kind}; take a data set whose task is classes"
        )
    held = torch.from_numpy(counts()).double().clamp(min=1e-8)
    margins = (tau * held**-0.25).float()

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        margin = margins[clients.number].to(next(model.leaves()))
        trained = (
            clients.solve(model, objective=calibrated, context=Tree(margin=margin))
            if tau
            else clients.solve(model)
        )
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    return replace(fedavg(server, weights=weights), client_update=client_update, reads_data=True)


def calibrated(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
    """The task's loss with the client's margins taken off the outputs."""
    outputs = task.outputs(params, x)
    return Losses(task.loss(outputs - context["margin"], y), outputs, y)
