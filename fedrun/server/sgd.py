"""The server's own gradient descent; with momentum this is FedAvgM.

Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution for federated visual
classification", 2019, section 3 (FedAvgM); Reddi et al., "Adaptive federated optimization", ICLR
2021, algorithm 1 with SERVEROPT = SGD.

    v <- momentum * v + delta;   x <- x + lr * v
    nesterov:                    x <- x + lr * (delta + momentum * v)

| symbol | name |
| --- | --- |
| delta, the mean update | mean |
| eta_g | lr |
| beta | momentum |

The Nesterov form is PyTorch's, and that of Flower's reproduction of FedAvgM.
"""

from __future__ import annotations

from typing import Annotated

from fedrun.core.algorithm import Server
from fedrun.core.option import ConfigError, above, between
from fedrun.core.schedule import Falls, Kind, lr_schedule
from fedrun.core.tree import Tree


def sgd(
    rounds: int,
    *,
    lr: Annotated[float, above(0)] = 1.0,
    momentum: Annotated[float, between(0, 1, open_high=True)] = 0.0,
    nesterov: bool = False,
    schedule: Kind = "constant",
    decay: Annotated[float, between(0, 1, open_low=True)] = 1.0,
    decay_every: Falls = 1,
) -> Server:
    """The server adds the mean update, scaled, with or without momentum (FedAvgM).

    lr: 1 moves the model exactly to the mean of the clients' models.
    momentum: FedAvgM's beta (paper: 0.9); 0 is plain averaging.
    nesterov: the step looks one momentum ahead (Flower's FedAvgM: true).
    schedule: how lr falls from round to round: constant, exponential, step, inverse, inverse_sqrt
        or cosine.
    decay: factor of the exponential and step schedules; lr / (1 + decay t) is the inverse one.
    decay_every: rounds between two falls of the step schedule, or a list of those after which it
        falls, such as [50,75].
    """
    if nesterov and not momentum:
        raise ConfigError(
            "server.nesterov=true has no effect with server.momentum=0; give a momentum above 0"
        )
    rate = lr_schedule("server", lr, schedule, decay, decay_every, rounds)

    def init(params: Tree) -> Tree:
        return Tree(velocity=params.zeros()) if momentum else Tree()

    def step(params: Tree, state: Tree, mean: Tree, t: int) -> tuple[Tree, Tree]:
        if not momentum:
            return params + rate(t) * mean, state
        velocity = momentum * state["velocity"] + mean
        ahead = mean + momentum * velocity if nesterov else velocity
        return params + rate(t) * ahead, Tree(velocity=velocity)

    return Server(init, step)
