"""Adam (Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1):

    m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
    w <- w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

| symbol | name |
| --- | --- |
| alpha | lr |
| b1, b2 | beta1, beta2 |

Both moments start at zero every round. Weight decay is added to the gradient, as in
`torch.optim.Adam`.
"""

from __future__ import annotations

from typing import Annotated

import torch

from fedrun.core.local import Local, Tensors
from fedrun.core.option import Count, Size, above, at_least, between
from fedrun.core.schedule import Falls, Kind, lr_schedule
from fedrun.local._work import local_work


def adam(
    rounds: int,
    *,
    lr: Annotated[float, above(0)] = 0.001,
    epochs: Count = 1,
    steps: Size = 0,
    batch_size: Size = 10,
    beta1: Annotated[float, between(0, 1, open_high=True)] = 0.9,
    beta2: Annotated[float, between(0, 1, open_high=True)] = 0.999,
    epsilon: Annotated[float, above(0)] = 1e-8,
    weight_decay: Annotated[float, at_least(0)] = 0.0,
    clip_norm: Annotated[float, above(0)] | None = None,
    schedule: Kind = "constant",
    decay: Annotated[float, between(0, 1, open_low=True)] = 1.0,
    decay_every: Falls = 1,
) -> Local:
    """Clients take Adam steps; its moments start at zero every round.

    lr: step size (paper: 0.001).
    epochs: passes over the local data in a round.
    steps: exactly this many steps instead of epochs; 0 counts epochs.
    batch_size: examples per step, the last short batch of a pass kept; 0 is the whole local set.
    beta1: memory of the mean gradient (paper: 0.9).
    beta2: memory of the squared gradient (paper: 0.999).
    epsilon: added to the root, so that nothing is divided by zero (paper: 1e-8).
    weight_decay: pull to zero, added to the gradient.
    clip_norm: longest gradient, in Euclidean norm, before weight decay; null does not clip.
    schedule: how lr falls from round to round: constant, exponential, step, inverse, inverse_sqrt
        or cosine.
    decay: factor of the exponential and step schedules; lr / (1 + decay t) is the inverse one.
    decay_every: rounds between two falls of the step schedule, or a list of those after which it
        falls, such as [50,75].
    """

    def init(params: Tensors) -> Tensors:
        return [torch.zeros_like(p) for p in params for _ in range(2)]

    def step(params: Tensors, grads: Tensors, state: Tensors, t: int, lr: float) -> None:
        mean, square = state[0::2], state[1::2]
        if weight_decay:
            # Not in place: autograd may have given two parameters the same gradient tensor.
            grads = list(torch._foreach_add(grads, params, alpha=weight_decay))
        torch._foreach_lerp_(mean, grads, 1 - beta1)
        torch._foreach_mul_(square, beta2)
        torch._foreach_addcmul_(square, grads, grads, value=1 - beta2)
        root = torch._foreach_div(square, 1 - beta2**t)
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, epsilon)
        torch._foreach_addcdiv_(params, mean, root, value=-lr / (1 - beta1**t))

    return Local(
        name="adam",
        work=local_work(epochs, steps, batch_size),
        lr=lr_schedule("local", lr, schedule, decay, decay_every, rounds),
        clip_norm=clip_norm,
        init=init,
        step=step,
        displacement=None,
    )
