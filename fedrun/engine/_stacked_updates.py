"""What becomes of the gradients of a step of stacked clients [k, ...]. Two ways, as in `_updates`:

`Folded`, for SGD without clipping: with g the gradient of the loss, a the weight decay plus mu and
b = drift - mu * anchor the step is affine,

    u <- m u - lr a w - lr b - lr g;   w <- w + u

so that products of the backward pass are added where u lies, and no gradient is ever stored. Where
g is all there is, they are added to the weights themselves. The factor -lr of g comes in with the
weights of the examples, which cost nothing.
`Listed`, for everything else: the gradients are collected first.

Numbers that change from round to round are tensors: a CUDA graph reads them anew each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from fedrun.core.local import SGD, Local, Tensors
from fedrun.engine._objective import Terms

# Into a smaller matrix, or of more terms, BLAS may add the terms of a product one by one or in
# parts, and would round each of them as coarsely as a weight is.
SMALL = 2048
LONG = 128


class Update(Protocol):
    """Takes the gradients of one step as the backward pass finds them. It may change a parameter at
    once, so a layer hands them over last."""

    def first(self, count: int) -> Update:
        """The same for the first clients, as views."""

    def begin(self) -> None:
        """A step begins."""

    def product(self, at: int, left: Tensor, right: Tensor) -> None:
        """The gradient of parameter `at`, but for its shape, is the batched product of these."""

    def put(self, at: int, gradient: Tensor) -> None:
        """The gradient of parameter `at`."""

    def finish(self) -> Tensors | None:
        """All gradients are in. What the local optimiser has yet to be called with, if anything."""

    def load(self, terms: Terms, lr: float) -> None:
        """Start anew with the terms of another chunk, at most as many clients, in the tensors that
        there are."""


def update_for(params: Tensors, local: Local, terms: Terms, lr: float) -> Update:
    """The faster way that this local optimiser allows."""
    if local.sgd is not None and local.clip_norm is None:
        return Folded.of(params, local.sgd, terms, lr)
    sgd = local.sgd and Folded.of(params, local.sgd, Terms(None, None, 0.0), lr)
    return Listed.of(params, terms, local.clip_norm, sgd or None, lr)


def rate(local: Local, lr: float) -> float:
    """What gradients are multiplied by before an update is given them."""
    return -lr if local.sgd is not None and local.clip_norm is None else 1.0


@dataclass(frozen=True)
class Folded:
    """into: u, or the parameters; base: what g is added to; constant: -lr b; pull: -lr a."""

    momentum: float
    decay: float
    params: Tensors
    into: Tensors
    base: Tensors
    constant: Tensors | None
    pull: Tensor | None

    @classmethod
    def of(cls, params: Tensors, sgd: SGD, terms: Terms, lr: float) -> Folded:
        decay = sgd.weight_decay
        b, pull, into = constant(terms, -lr), None, params
        if decay or (terms.anchor is not None and terms.mu):
            pull = number(params[0], -lr * decay_of(decay, terms))
        if sgd.momentum or pull is not None or b is not None:
            into = list(map(torch.zeros_like, params))
        base = into if b is None or sgd.momentum or pull is not None else b
        return cls(sgd.momentum, decay, params, into, base, b, pull)

    def load(self, terms: Terms, lr: float) -> None:
        if self.momentum:
            torch._foreach_zero_(self.into)
        if self.pull is not None:
            self.pull.fill_(-lr * decay_of(self.decay, terms))
        b = constant(terms, -lr)
        assert (b is None) == (self.constant is None)
        for own, given in zip(self.constant or [], b or [], strict=True):
            own[: len(given)].copy_(given)

    def first(self, count: int) -> Folded:
        params = [p[:count] for p in self.params]
        into = params if self.into is self.params else [u[:count] for u in self.into]
        b = self.constant and [leaf[:count] for leaf in self.constant]
        base = into if self.base is self.into else b or []
        return replace(self, params=params, into=into, base=base, constant=b)

    def begin(self) -> None:
        if self.momentum:
            torch._foreach_mul_(self.into, self.momentum)
            if self.constant is not None:
                torch._foreach_add_(self.into, self.constant)
            if self.pull is not None:
                for u, w in zip(self.into, self.params, strict=True):
                    u.addcmul_(w, self.pull)
        elif self.pull is not None:
            for at, (u, w) in enumerate(zip(self.into, self.params, strict=True)):
                if self.constant is None:
                    torch.mul(w, self.pull, out=u)
                else:
                    torch.addcmul(self.constant[at], w, self.pull, out=u)

    def product(self, at: int, left: Tensor, right: Tensor) -> None:
        into = self.into[at]
        coarse = self.into is self.params and (into[0].numel() < SMALL or right.shape[1] > LONG)
        if coarse or into.ndim != 3:
            self.put(at, torch.bmm(left, right).view_as(into))
        else:
            torch.baddbmm(self.base[at], left, right, out=into)

    def put(self, at: int, gradient: Tensor) -> None:
        torch.add(self.base[at], gradient, out=self.into[at])

    def finish(self) -> None:
        if self.into is not self.params:
            torch._foreach_add_(self.params, self.into)


@dataclass(frozen=True)
class Listed:
    """sgd: how the step is taken; None leaves it to `Local.step`, outside any graph. grads: tensors
    of our own, which may be changed in place, and cost more to allocate than to fill."""

    params: Tensors
    terms: Terms
    clip_norm: float | None
    sgd: Folded | None
    rate: Tensor
    grads: Tensors

    @classmethod
    def of(
        cls, params: Tensors, terms: Terms, clip_norm: float | None, sgd: Folded | None, lr: float
    ) -> Listed:
        grads = [torch.zeros(p.shape, dtype=p.dtype, device=p.device) for p in params]
        return cls(params, terms, clip_norm, sgd, number(params[0], -lr), grads)

    def load(self, terms: Terms, lr: float) -> None:
        if self.sgd is not None:
            self.sgd.load(Terms(None, None, 0.0), lr)
        self.rate.fill_(-lr)
        for own, given in ((self.terms.drift, terms.drift), (self.terms.anchor, terms.anchor)):
            for mine, leaf in zip(own or [], given or [], strict=True):
                mine[: len(leaf)].copy_(leaf)

    def first(self, count: int) -> Listed:
        sgd = self.sgd and self.sgd.first(count)
        params, grads = ([leaf[:count] for leaf in own] for own in (self.params, self.grads))
        return replace(self, params=params, grads=grads, terms=self.terms.first(count), sgd=sgd)

    def begin(self) -> None:
        if self.sgd is not None:
            self.sgd.begin()

    def product(self, at: int, left: Tensor, right: Tensor) -> None:
        if self.grads[at].ndim == 3:
            torch.bmm(left, right, out=self.grads[at])
        else:
            self.put(at, torch.bmm(left, right).view_as(self.grads[at]))

    def put(self, at: int, gradient: Tensor) -> None:
        self.grads[at].copy_(gradient)

    def finish(self) -> Tensors | None:
        grads = self.terms.gradient(self.grads, self.params)
        factor = None if self.sgd is None else self.rate
        if self.clip_norm is not None:
            shortened = clip_factor(grads, self.clip_norm)
            factor = shortened if factor is None else shortened * factor
        if factor is not None:
            for g in grads:
                g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))
        if self.sgd is None:
            return grads
        for at, g in enumerate(grads):
            self.sgd.put(at, g)
        self.sgd.finish()
        return None


def clip_factor(grads: Tensors, clip_norm: float) -> Tensor:
    """[k]: what makes each client's gradient at most this long."""
    norm = torch.stack([g.reshape(len(g), -1).norm(dim=1) for g in grads]).norm(dim=0)
    return (clip_norm / norm).clamp(max=1.0)


def constant(terms: Terms, factor: float) -> Tensors | None:
    """factor * (drift - mu * anchor); None for zero."""
    if terms.anchor is None or not terms.mu:
        return terms.drift and list(torch._foreach_mul(terms.drift, factor))
    pull = list(torch._foreach_mul(terms.anchor, -factor * terms.mu))
    if terms.drift is not None:
        torch._foreach_add_(pull, terms.drift, alpha=factor)
    return pull


def decay_of(weight_decay: float, terms: Terms) -> float:
    """The pull to zero: weight decay, and mu where there is an anchor."""
    return weight_decay + (terms.mu if terms.anchor is not None else 0.0)


def number(like: Tensor, value: float) -> Tensor:
    """The value in a tensor of its own."""
    return torch.full((), value, dtype=like.dtype, device=like.device)
