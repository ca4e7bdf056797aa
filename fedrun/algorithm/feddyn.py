"""FedDyn: dynamic regularisation.

Acar, Zhao, Matas Navarro, Mattina, Whatmough, Saligrama, "Federated learning based on dynamic
regularization", ICLR 2021, algorithm 1: client k minimises
L_k(theta) - <g_k, theta> + alpha/2 |theta - theta^(t-1)|^2.

| symbol | name |
| --- | --- |
| theta^t, the server's model ("cloud") | model, or cloud where the average is evaluated |
| g_k, the gradient of L_k at client k's last model | -alpha * moved, client k's |
| h^t | -alpha * moved, the server's |
| P_t, m | the cohort, round.population |
| alpha | alpha; client k's own is alpha * alpha_examples / n_k where that is given |

`moved` is the sum of a client's updates theta_k^t - theta^(t-1) over its rounds, and the server's
is the mean of it over all clients, absent ones included; so the authors' code keeps it. It spares
the division h / alpha, which loses all digits for a small alpha: theta^t = mean over P_t of
theta_k^t + moved. Clients count alike. With a server other than plain averaging, that one takes
its step along the whole of it.

Limit: for alpha to 0 clients train as FedAvg's, but the server does not average: it moves by
(1 + p) delta_t + p (delta_1 + ... + delta_(t-1)), p the cohort's share of all clients.

What is scored: the authors' code scores two means of the clients' models theta_k beside the cloud,
that over the cohort and that over all clients, where an absent one counts with its last model and
a new one with the first weights; its figure shows the mean over all. That one takes each client's
last model as state, and an upload twice as long: what its model has changed by since then.

Differs: the authors' code gives client k its own alpha / (n_k / mean n), which is the paper's where
clients hold equally much; here alpha is one for all unless `alpha_examples` is given, and then it
is their mean n that belongs there. Given, the pull is part of the loss and plain autograd's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from fedrun.algorithm.fedavg import fedavg
from fedrun.core.algorithm import Algorithm, Clients, Losses, Reply, Round, Server, Trained
from fedrun.core.option import above
from fedrun.core.task import Task
from fedrun.core.tree import Tree, per_client


def feddyn(
    server: Server,
    *,
    alpha: Annotated[float, above(0)] = 0.01,
    alpha_examples: Annotated[float, above(0)] | None = None,
    evaluated: Literal["cloud", "average", "all"] = "cloud",
) -> Algorithm:
    """Each client's loss is tilted and anchored until all clients' optima agree.

    alpha: strength of the regulariser (paper: 0.001 to 0.1; its CIFAR example: 0.01).
    alpha_examples: alpha is that of a client with so many examples, and n_k of them make it alpha *
        alpha_examples / n_k (authors' code: the mean over clients); null: one for all (paper).
    evaluated: the model that is scored and saved: the server's, which clients start from (cloud),
        or the plain mean of the models of the cohort (average) or of all clients, absent ones by
        their last (all: the authors' figure); training is the same.
    """
    average = fedavg(server, weights="uniform")
    start = "model" if evaluated == "cloud" else "cloud"

    def solved(clients: Clients, model: Tree, moved: Tree) -> Trained:
        if alpha_examples is None:
            return clients.solve(model, drift=alpha * moved, anchor=model, mu=alpha)
        own = alpha * alpha_examples / clients.examples
        context = Tree(anchor=model, alpha=own.to(next(model.leaves())))
        return clients.solve(
            model, drift=per_client(moved, own), objective=anchored, context=context
        )

    def client_update(clients: Clients, message: Tree) -> Reply:
        model, moved = message["model"], clients.state["moved"]
        trained = solved(clients, model, moved)
        update = trained.params - model
        sent, kept = Tree(model=update), Tree(moved=moved + update)
        if evaluated == "all":
            sent = Tree(sent, last=trained.params - clients.state["last"])
            kept = Tree(kept, last=trained.params)
        return Reply(
            update=sent, weight=torch.ones_like(clients.examples), trained=trained, state=kept
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        share = round.accepted / round.population
        moved = state["moved"] + share * mean["model"]
        cloud = Tree(state, model=state[start])
        stepped = average.server_update(cloud, Tree(model=mean["model"] + moved), round)
        if start == "model":
            return Tree(stepped, moved=moved)
        if evaluated == "average":
            scored = state["cloud"] + mean["model"]
        else:
            scored = state["model"] + share * mean["last"]
        return Tree(stepped, model=scored, cloud=stepped["model"], moved=moved)

    def server_init(params: Tree) -> Tree:
        state = Tree(average.server_init(params), moved=params.zeros())
        return state if start == "model" else Tree(state, cloud=params)

    def client_init(params: Tree) -> Tree:
        state = Tree(moved=params.zeros())
        return Tree(state, last=params) if evaluated == "all" else state

    return replace(
        average,
        client_update=client_update,
        server_update=server_update,
        server_init=server_init,
        message=lambda state: Tree(model=state[start]),
        client_init=client_init,
        reads_data=alpha_examples is not None,
    )


def anchored(task: Task, params: Tree, context: Tree, x: Tensor, y: Tensor) -> Losses:
    """The loss, with alpha/2 |w - anchor|^2 in its gradient and not in what is recorded of it."""
    outputs = task.outputs(params, x)
    apart = sum(((params[name] - leaf) ** 2).sum() for name, leaf in context["anchor"].items())
    assert isinstance(apart, Tensor)
    pull = context["alpha"] / 2 * apart
    return Losses(task.loss(outputs, y) + (pull - pull.detach()), outputs, y)
