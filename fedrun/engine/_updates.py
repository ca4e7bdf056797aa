"""What becomes of the gradients of a step. Two ways:

`Folded`, for SGD without clipping: the whole step is affine in the weights, so the products d^T x
of linear layers are added to the weights where they lie, and no gradient is ever stored.
`Listed`, for everything else: the gradients are collected and handed to the local optimiser.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from fedrun.core.local import SGD, Local, Tensors
from fedrun.engine._objective import Terms, clipped

TINY = 1024  # MKL adds examples to smaller weights one by one, rounding each time


class Update(Protocol):
    """Takes the gradients of one step as the backward pass finds them. It may change a parameter at
    once, so a layer hands them over last."""

    def dense(self, at: int, bias: bool, d: Tensor, x: Tensor) -> None:
        """The linear layer whose weight is parameter `at`: weight gradient d^T x, bias sum of d."""

    def put(self, at: int, gradient: Tensor) -> None:
        """The gradient of parameter `at`."""

    def finish(self) -> None:
        """All gradients of this step are in."""


def update_for(params: Tensors, local: Local, terms: Terms, lr: float) -> Update:
    """The faster way that this local optimiser allows."""
    sgd = local.sgd
    if sgd is not None and local.clip_norm is None and lr * (sgd.weight_decay + terms.mu) < 0.5:
        return Folded(params, sgd, terms, lr)
    return Listed(params, local, terms, lr)


class Folded:
    """With g the gradient of the loss, c the weight decay plus mu, and `goal` = mu / c * anchor:

    without momentum   w <- w - lr / (1 - lr c) g;   w <- w + lr c (goal - w);   w <- w - lr drift
    with momentum m    v <- m v + g + c (w - goal) + drift;   w <- w - lr v

    The first line is w - lr (g + c (w - goal) + drift). Weights are never scaled by 1 - lr c:
    float32 rounds that number the same way in every step, and the error would add up.
    """

    def __init__(self, params: Tensors, sgd: SGD, terms: Terms, lr: float) -> None:
        self.params, self.lr, self.drift = params, lr, terms.drift
        mu = 0.0 if terms.anchor is None else terms.mu
        self.decay = sgd.weight_decay + mu
        self.goal: Tensors | None = None
        if mu and terms.anchor is not None:
            self.goal = list(torch._foreach_mul(terms.anchor, mu / self.decay))
        self.momentum = sgd.momentum
        if self.momentum:
            self.into, self.keep, self.rate = list(map(torch.zeros_like, params)), sgd.momentum, 1.0
        else:
            self.into, self.keep, self.rate = params, 1.0, -lr / (1 - lr * self.decay)
        self.targets: Tensors = []
        self.gradients: Tensors = []

    def dense(self, at: int, bias: bool, d: Tensor, x: Tensor) -> None:
        if self.into[at].numel() < TINY:
            self.put(at, d.t().mm(x))
        else:
            self.into[at].addmm_(d.t(), x, beta=self.keep, alpha=self.rate)
        if bias:
            self.put(at + 1, d.sum(0))

    def put(self, at: int, gradient: Tensor) -> None:
        self.targets.append(self.into[at])
        self.gradients.append(gradient)

    def finish(self) -> None:
        if self.momentum:
            torch._foreach_mul_(self.targets, self.keep)
        torch._foreach_add_(self.targets, self.gradients, alpha=self.rate)
        self.targets, self.gradients = [], []
        if self.momentum:
            self._move()
            return
        if self.goal is not None:
            torch._foreach_lerp_(self.params, self.goal, self.lr * self.decay)
        elif self.decay:
            torch._foreach_add_(self.params, self.params, alpha=-self.lr * self.decay)
        if self.drift is not None:
            torch._foreach_add_(self.params, self.drift, alpha=-self.lr)

    def _move(self) -> None:
        if self.decay:
            torch._foreach_add_(self.into, self.params, alpha=self.decay)
        if self.goal is not None:
            torch._foreach_add_(self.into, self.goal, alpha=-self.decay)
        if self.drift is not None:
            torch._foreach_add_(self.into, self.drift)
        torch._foreach_add_(self.params, self.into, alpha=-self.lr)


class Listed:
    def __init__(self, params: Tensors, local: Local, terms: Terms, lr: float) -> None:
        self.params, self.local, self.terms, self.lr = params, local, terms, lr
        self.state = local.init(params)
        self.gradients = [torch.empty(0)] * len(params)
        self.step = 0

    def dense(self, at: int, bias: bool, d: Tensor, x: Tensor) -> None:
        self.gradients[at] = d.t().mm(x)
        if bias:
            self.gradients[at + 1] = d.sum(0)

    def put(self, at: int, gradient: Tensor) -> None:
        self.gradients[at] = gradient

    def finish(self) -> None:
        self.step += 1
        grads = self.terms.gradient(self.gradients, self.params)
        if self.local.clip_norm is not None:
            grads = clipped(grads, self.local.clip_norm)
        self.local.step(self.params, grads, self.state, self.step, self.lr)
