"""How a client optimises: plain functions that an engine calls, one client at a time or stacked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fedrun.core.plan import Work
from fedrun.core.schedule import Schedule

Tensors = list[Tensor]


@dataclass(frozen=True)
class SGD:
    """The numbers of `v <- momentum * v + g + weight_decay * w`, `w <- w - lr * v`, for engines
    that write the step out themselves."""

    momentum: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class Local:
    """A local optimiser. `init` and `step` are element-wise, so the same two functions serve one
    client's tensors [...] and a stack of clients [C, ...]; what needs a norm stands in `clip_norm`.

    init: (params) -> optimiser state, a list of tensors; made anew every round.
    step: (params, grads, state, t, lr) changes params and state in place; t counts from 1.
    clip_norm: the gradient of the whole local objective is scaled down to this Euclidean norm.
    displacement: (steps [C], lr) -> a [C], so that start - end = a * (a weighted mean of the
        gradients); None where the optimiser has no such number (Adam).
    sgd: what `step` does, where that is SGD; None leaves engines nothing but to call it.
    """

    name: str
    work: Work
    lr: Schedule
    clip_norm: float | None
    init: Callable[[Tensors], Tensors]
    step: Callable[[Tensors, Tensors, Tensors, int, float], None]
    displacement: Callable[[Tensor, float], Tensor] | None
    sgd: SGD | None = None
