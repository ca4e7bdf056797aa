"""The gradient of the whole local objective, from the gradient of the loss.

g = grad F_k(w) + drift + mu (w - anchor), then scaled down to `clip_norm`. Nothing is changed in
place: two parameters may have been given the same gradient tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fedrun.core.local import Tensors
from fedrun.core.tree import Tree


@dataclass(frozen=True)
class Terms:
    """What is added to the loss; tensors shaped like the parameters they belong to."""

    drift: Tensors | None
    anchor: Tensors | None
    mu: float

    def first(self, count: int) -> Terms:
        """The first clients of a stack."""
        drift = self.drift and [leaf[:count] for leaf in self.drift]
        anchor = self.anchor and [leaf[:count] for leaf in self.anchor]
        return Terms(drift, anchor, self.mu)

    def map(self, function: Callable[[Tensors], Tensors]) -> Terms:
        """The same terms with their tensors changed."""
        drift, anchor = self.drift and function(self.drift), self.anchor and function(self.anchor)
        return Terms(drift, anchor, self.mu)

    def gradient(self, grads: Tensors, params: Tensors) -> Tensors:
        """The gradient of the loss with the other terms' gradients added."""
        if self.drift is not None:
            grads = list(torch._foreach_add(grads, self.drift))
        if self.anchor is not None and self.mu:
            pull = torch._foreach_sub(params, self.anchor)
            grads = list(torch._foreach_add(grads, pull, alpha=self.mu))
        return grads


def clipped(grads: Tensors, clip_norm: float) -> Tensors:
    """One client's gradient, at most this long."""
    norm = torch.stack(torch._foreach_norm(grads)).norm()
    return list(torch._foreach_mul(grads, (clip_norm / norm).clamp(max=1.0)))


def as_terms(names: list[str], drift: Tree | None, anchor: Tree | None, mu: float) -> Terms:
    """From trees whose leaves are named as the parameters are."""
    return Terms(
        None if drift is None else [drift[name] for name in names],
        None if anchor is None else [anchor[name] for name in names],
        mu,
    )
