"""Per-FedAvg: a global model that is good after one gradient step.

Fallah, Mokhtari, Ozdaglar, "Personalized federated learning with theoretical guarantees: a
model-agnostic meta-learning approach", NeurIPS 2020, algorithm 1: clients take steps
w <- w - beta (I - alpha H(w)) grad f(w - alpha grad f(w; D); D'), H the Hessian of f.

| symbol | name |
| --- | --- |
| w, the meta-model | model |
| alpha | alpha |
| beta | local.lr |
| tau | local.steps, or what local.epochs makes of it |
| D and D'' | the first half of a batch |
| D' | the second half of it |

Two variants: `fo`, first-order, leaves the Hessian out; `hf` has it.

Differs: in the paper D, D' and D'' are three batches, and its HF ("Hessian-free") finds the product
of Hessian and gradient by a difference of gradients; here it is exact, by a second
differentiation, which needs no step width. The second half of an odd batch has one example more; a
batch of one example is both halves. The recorded loss is that after the inner step.

The own model of a client is the global one after `personal_steps` steps of size alpha, each along
the gradient over all that it holds. The global model itself is not meant to be used.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor

from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Server
from fedrun.core.option import Count, above
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def per_fedavg(
    server: Server,
    *,
    variant: Literal["fo", "hf"] = "fo",
    alpha: Annotated[float, above(0)] = 0.01,
    personal_steps: Count = 1,
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """The global model is trained to be good after a gradient step at each client.

    variant: first-order, without the Hessian (fo), or with it (hf), at about twice the cost.
    alpha: size of the inner step, and of those that make a client's own model.
    personal_steps: how many steps make a client's own model (paper: 1).
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    objective = partial(after_a_step, alpha=alpha, hessian=variant == "hf")

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = message["model"]
        trained = clients.solve(model, objective=objective)
        return Reply(
            update=Tree(model=trained.params - model),
            weight=client_weights(clients, weights),
            trained=trained,
            state=clients.state,
        )

    def personal(clients: Clients, message: Tree) -> Tree:
        model: Tree = message["model"]
        for _ in range(personal_steps):
            model = model - alpha * clients.gradient(model)[1]
        return model

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        personal=personal,
        has_global=False,
        reads_data=True,
    )


def after_a_step(
    task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor, *, alpha: float, hessian: bool
) -> Losses:
    """The loss on the second half of a batch, after a gradient step on the first."""
    half = len(y) // 2
    first, second = (slice(half), slice(half, None)) if half else (slice(None), slice(None))
    names = list(task.parameters)
    inner = task.loss(task.outputs(params, x[first]), y[first]).mean()
    slopes = torch.autograd.grad(
        inner, [params[name] for name in names], create_graph=hessian, materialize_grads=True
    )
    stepped = Tree(params)
    for name, slope in zip(names, slopes, strict=True):
        stepped[name] = params[name] - alpha * slope
    outputs = task.outputs(stepped, x[second])
    return Losses(task.loss(outputs, y[second]), outputs, y[second])
