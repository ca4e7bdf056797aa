"""Stochastic gradient descent with heavy-ball momentum, as PyTorch defines it:

    g <- g + weight_decay * w;   v <- momentum * v + g;   w <- w - lr * v

| symbol | name |
| --- | --- |
| eta | lr |
| E, tau, B | epochs, steps, batch_size |
| rho | momentum |
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from fedrun.core.local import SGD, Local, Tensors
from fedrun.core.option import Count, Size, above, at_least, between
from fedrun.core.schedule import Falls, Kind, lr_schedule
from fedrun.local._work import local_work


def sgd(
    rounds: int,
    *,
    lr: Annotated[float, above(0)] = 0.1,
    epochs: Count = 1,
    steps: Size = 0,
    batch_size: Size = 10,
    momentum: Annotated[float, between(0, 1, open_high=True)] = 0.0,
    weight_decay: Annotated[float, at_least(0)] = 0.0,
    clip_norm: Annotated[float, above(0)] | None = None,
    schedule: Kind = "constant",
    decay: Annotated[float, between(0, 1, open_low=True)] = 1.0,
    decay_every: Falls = 1,
) -> Local:
    """Clients take plain or momentum SGD steps; the momentum starts at zero every round.

    lr: step size; it has to be tuned for each method and setting.
    epochs: passes over the local data in a round.
    steps: exactly this many steps instead of epochs; 0 counts epochs.
    batch_size: examples per step, the last short batch of a pass kept; 0 is the whole local set.
    momentum: heavy-ball factor; 0 is plain SGD.
    weight_decay: pull to zero, added to the gradient.
    clip_norm: longest gradient, in Euclidean norm, before weight decay; null does not clip.
    schedule: how lr falls from round to round: constant, exponential, step, inverse, inverse_sqrt
        or cosine.
    decay: factor of the exponential and step schedules; lr / (1 + decay t) is the inverse one.
    decay_every: rounds between two falls of the step schedule, or a list of those after which it
        falls, such as [50,75].
    """

    def init(params: Tensors) -> Tensors:
        return [torch.zeros_like(p) for p in params] if momentum else []

    def step(params: Tensors, grads: Tensors, velocity: Tensors, t: int, lr: float) -> None:
        if weight_decay:
            # Not in place: autograd may have given two parameters the same gradient tensor.
            grads = list(torch._foreach_add(grads, params, alpha=weight_decay))
        if momentum:
            torch._foreach_mul_(velocity, momentum)
            torch._foreach_add_(velocity, grads)
            grads = velocity
        torch._foreach_add_(params, grads, alpha=-lr)

    def displacement(steps: Tensor, lr: float) -> Tensor:
        if not momentum:
            return lr * steps
        # FedNova (Wang et al. 2020), section 3: the weights that momentum gives to each gradient.
        tail = momentum * (1 - momentum**steps) / (1 - momentum)
        return lr * (steps - tail) / (1 - momentum)

    return Local(
        name="sgd",
        work=local_work(epochs, steps, batch_size),
        lr=lr_schedule("local", lr, schedule, decay, decay_every, rounds),
        clip_norm=clip_norm,
        init=init,
        step=step,
        displacement=displacement,
        sgd=SGD(momentum, weight_decay),
    )
