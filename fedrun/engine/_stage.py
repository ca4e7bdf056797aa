"""The step of the first k clients of a stack, as views into everybody's tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from fedrun.core.local import Local, Tensors
from fedrun.engine._stacked_network import Model
from fedrun.engine._stacked_updates import Update


class Stage:
    """Calling it takes a step on (x, target, weight) and returns the outputs; `left` is what the
    local optimiser has yet to be called with, by `step`."""

    def __init__(self, model: Model, params: Tensors, update: Update, count: int) -> None:
        self.count = count
        self.params = [p[:count] for p in params]
        self.update = update.first(count)
        self.run = model.bind(self.params, self.update)
        self.left: Tensors | None = None

    def __call__(self, x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        self.update.begin()
        outputs = self.run(x, target, weight)
        self.left = self.update.finish()
        return outputs

    def step(self, local: Local, grads: Tensors | None, state: Tensors, t: int, lr: float) -> None:
        """Call the local optimiser with these gradients, if it has to be; t counts from 1."""
        if grads is not None:
            local.step(self.params, grads, [s[: self.count] for s in state], t, lr)


def sorted_by(leaves: Tensors, order: Tensor) -> Tensors:
    """The clients' slices [C, ...] in this order, copied."""
    return [torch.index_select(leaf, 0, order).contiguous() for leaf in leaves]
