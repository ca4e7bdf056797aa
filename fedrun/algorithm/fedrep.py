"""FedRep: a shared representation, and a head for each client that is trained first.

Collins, Hassani, Mokhtari, Shakkottai, "Exploiting shared representations for personalized
federated learning", ICML 2021, algorithm 1: tau_h steps on the head h_i with the representation
fixed, then tau_phi steps on the representation phi_i with the head fixed; phi is the mean of phi_i.

| symbol | name |
| --- | --- |
| phi | body, the server's model |
| h_i | head, in client i's state |
| tau_h | head_epochs, in passes over the client's examples, or head_steps |
| tau_phi | local.epochs or local.steps |

The heads of clients that stay away are kept. The authors report the mean accuracy of the last ten
rounds. A slow client shortens its work on the representation only.

Limits: without epochs for the head it is FedBABU's training.
"""

from __future__ import annotations

from typing import Literal

from fedrun.algorithm._layers import body_and_head
from fedrun.algorithm._partly import followed, partly_shared
from fedrun.core.algorithm import Algorithm, Clients, Server, Trained
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, Count, Size
from fedrun.core.plan import Work
from fedrun.core.task import Task
from fedrun.core.tree import Tree


def fedrep(
    task: Task,
    local: Local,
    server: Server,
    *,
    head: Count = 1,
    head_epochs: Size | None = None,
    head_steps: Size = 0,
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Clients fit their own heads to the shared body, then the body to their heads.

    head: how many of the last linear layers a client keeps to itself (paper: 1).
    head_epochs: passes for the head, before the body is trained (0 leaves the heads as they were at
        first); null: 10 (paper), or what head_steps says.
    head_steps: exactly this many steps for the head instead of epochs; 0 counts epochs.
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    if head_epochs and head_steps:
        raise ConfigError(
            f"algorithm.head_epochs={head_epochs} has no effect beside "
            f"algorithm.head_steps={head_steps}; give one of them"
        )
    body, own = body_and_head("fedrep", task, head)
    epochs = 10 if head_epochs is None else head_epochs
    work = Work(epochs, head_steps, local.work.batch_size)

    def train(clients: Clients, model: Tree) -> Trained:
        if not (epochs or head_steps):
            return clients.solve(model, only=body)
        fitted = clients.solve(model, only=own, work=work, turn=1)
        return followed(fitted, clients.solve(fitted.params, only=body))

    return partly_shared(task, server, train, shared=body, own=own, weights=weights)
