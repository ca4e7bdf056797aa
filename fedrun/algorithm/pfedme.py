"""pFedMe: Moreau envelopes.

Dinh, Tran, Nguyen, "Personalized federated learning with Moreau envelopes", NeurIPS 2020,
algorithm 1: in each of R local rounds a client draws one batch D, finds
theta ~ argmin f(theta; D) + lambda/2 |theta - w|^2 in K steps on it, and sets
w <- w - eta lambda (w - theta); the server sets w <- (1 - beta) w + beta * mean of w_i.

| symbol | name |
| --- | --- |
| w, the global model | model |
| theta_i, client i's own model | model, in client i's state |
| R, K | local_rounds, inner_steps |
| lambda, eta | lam, eta |
| beta | server.lr, with server=sgd |
| learning rate of theta | local.lr |

As in the authors' code theta goes on from the last local round's, and is w at first.

Differs: in the authors' code all clients train in every round, and those that are drawn are
averaged, by their examples; here those that are drawn train. So there every own model is of the
round that is scored: `scored=renewed` makes them so, by a round of each client that nobody is told
of and nothing is kept of. Their optimiser's weight decay of 0.001 is `local.weight_decay`. Running
statistics (BatchNorm) are averaged, for the own models too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fedrun.algorithm._partly import followed
from fedrun.algorithm.fedavg import client_weights, fedavg
from fedrun.core.algorithm import Algorithm, Clients, Reply, Server
from fedrun.core.local import Local
from fedrun.core.option import ConfigError, Count, above
from fedrun.core.plan import Work
from fedrun.core.tree import Tree


def pfedme(
    local: Local,
    server: Server,
    *,
    lam: Annotated[float, above(0)] = 15.0,
    eta: Annotated[float, above(0)] = 0.01,
    local_rounds: Count = 20,
    inner_steps: Count = 5,
    scored: Literal["kept", "renewed"] = "kept",
    weights: Literal["examples", "uniform"] = "uniform",
) -> Algorithm:
    """Each client's own model is what its loss, pulled to the global model, is least at.

    lam: the paper's lambda, strength of the pull between both models (authors' MNIST runs:
        15); from local.lr * lam = 2 on plain steps overshoot it.
    eta: how far the local copy of the global model goes to the own one, times lam (there: 0.01).
    local_rounds: R, batches of a round (there: 20).
    inner_steps: K, local steps on each batch (there: 5).
    scored: which own models: those that clients kept of their last rounds, or what each of them
        would make of the global model now (renewed: as the authors' figures).
    weights: a client counts by its examples n_k, or all clients of the cohort count alike (paper).
    """
    work = local.work
    if work.steps or work.epochs != 1:
        name, value = ("steps", work.steps) if work.steps else ("epochs", work.epochs)
        raise ConfigError(
            f"local.{name}={value} has no effect with algorithm=pfedme, which takes "
            f"algorithm.local_rounds batches and algorithm.inner_steps steps on each; leave it out"
        )
    one_batch = Work(1, 1, work.batch_size, repeat=inner_steps)

    def client_update(clients: Clients, message: Tree) -> Reply:
        model = start = message["model"]
        done = clients.solve(start, anchor=start, mu=lam, work=one_batch)
        model = model - eta * lam * (model - done.params)
        for turn in range(1, local_rounds):
            found = clients.solve(done.params, anchor=model, mu=lam, work=one_batch, turn=turn)
            done = followed(done, found)
            model = model - eta * lam * (model - done.params)
        return Reply(
            update=Tree(model=model - start),
            weight=client_weights(clients, weights),
            trained=done,
            state=Tree(model=done.params),
        )

    def personal(clients: Clients, message: Tree) -> Tree:
        state = client_update(clients, message).state if scored == "renewed" else clients.state
        model: Tree = state["model"]
        return model

    return replace(
        fedavg(server, weights=weights),
        client_update=client_update,
        client_init=lambda params: Tree(model=params),
        personal=personal,
    )
