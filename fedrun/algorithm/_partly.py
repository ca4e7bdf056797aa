"""Averaging of one part of the model, while each client keeps the other part as its own.

Messages and updates hold the shared part alone. The server's model is a whole one, whose other part
stays as it was at first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fedrun.algorithm.fedavg import Weights, client_weights
from fedrun.core.algorithm import Algorithm, Clients, Reply, Round, Server, Trained
from fedrun.core.task import Task
from fedrun.core.tree import Tree, expand

NOTHING = Tree()


def partly_shared(
    task: Task,
    server: Server,
    train: Callable[[Clients, Tree], Trained],
    shared: Sequence[str],
    own: Sequence[str],
    weights: Weights,
    fixed: Tree = NOTHING,
) -> Algorithm:
    """FedAvg of the parameters named in `shared`; those in `own` are the state of a client.

    train: (clients, whole models Tree_C to start from) -> what has become of them.
    fixed: all other parameters, which never change.
    """
    names = list(task.parameters)

    def whole(clients: Clients, message: Tree) -> Tree:
        others = expand(fixed, len(clients.examples))
        return part(Tree(message["model"], **clients.state, **others), names)

    def client_update(clients: Clients, message: Tree) -> Reply:
        trained = train(clients, whole(clients, message))
        return Reply(
            update=Tree(model=part(trained.params, shared) - message["model"]),
            weight=client_weights(clients, weights),
            trained=trained,
            state=part(trained.params, own),
        )

    def server_update(state: Tree, mean: Tree, round: Round) -> Tree:
        begin = part(state["model"], shared)
        model, optimizer = server.step(begin, state["optimizer"], mean["model"], round.t)
        return Tree(model=Tree(state["model"], **model), optimizer=optimizer)

    def server_init(params: Tree) -> Tree:
        return Tree(model=params, optimizer=server.init(part(params, shared)))

    return Algorithm(
        client_update=client_update,
        server_update=server_update,
        server_init=server_init,
        message=lambda state: Tree(model=part(state["model"], shared)),
        client_init=lambda params: part(params, own),
        personal=whole,
        has_global=not own,
    )


def part(model: Tree, names: Sequence[str]) -> Tree:
    """The parameters of these names."""
    return Tree({name: model[name] for name in names})


def followed(first: Trained, then: Trained) -> Trained:
    """One after the other: the models of the last, and the work of both."""
    return replace(then, steps=first.steps + then.steps, sums=first.sums + then.sums)
