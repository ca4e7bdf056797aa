"""FedBABU: only the body is trained; the head comes last, at each client.

Oh, Kim, Yun, "FedBABU: toward enhanced representation for federated image classification",
ICLR 2022, algorithm 1: the head keeps its random first weights, the same at all clients; the body
is averaged; to personalise, a client fine-tunes the global model.

| symbol | name |
| --- | --- |
| theta^G,ext, the body | body, the server's model |
| theta^G,cls, the head | head, as it was at first |
| n_k / n | weight |
| tau_f, epochs of fine-tuning | epochs |

Everybody knows the head: it is sent neither way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fedrun.algorithm._layers import body_and_head
from fedrun.algorithm._partly import part, partly_shared
from fedrun.algorithm.fedavg import Weights
from fedrun.core.algorithm import Algorithm, Clients, Server, Trained
from fedrun.core.local import Local
from fedrun.core.option import Count
from fedrun.core.plan import Work
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def fedbabu(
    task: Task,
    local: Local,
    server: Server,
    *,
    head: Count = 1,
    tune: Literal["all", "head", "body"] = "all",
    epochs: Count = 5,
    weights: Weights = None,
) -> Algorithm:
    """Clients train the body alone, and fine-tune the model for themselves before they use it.

    head: how many of the last linear layers are never trained together (paper: 1).
    tune: what a client fine-tunes for itself: the whole model (all), its head or its body.
    epochs: passes over a client's own examples that make its model (at least 1).
    weights: a client counts by its examples n_k (paper), or all of the cohort alike; null: by its
        examples, or as privacy asks.
    """
    body, top = body_and_head("fedbabu", task, head)
    tuned = {"all": None, "head": top, "body": body}[tune]
    work = Work(epochs, 0, local.work.batch_size)

    def train(clients: Clients, model: Tree) -> Trained:
        return clients.solve(model, only=body)

    def personal(clients: Clients, message: Tree) -> Tree:
        model = shares.personal(clients, message)
        return clients.solve(model, only=tuned, work=work, turn=1).params

    shares = partly_shared(
        task, server, train, shared=body, own=[], weights=weights, fixed=part(task.current(), top)
    )
    return replace(shares, personal=personal)
