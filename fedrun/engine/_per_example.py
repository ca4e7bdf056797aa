"""Clipped sums of any model: lifted to all examples of a batch, or one after the other.

Either way the model sees each example in a batch of its own, so nothing that it does can mix them.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from fedrun.core.task import Examples, Task
from fedrun.engine._clipped_sum import Way, add_scaled, factors
from fedrun.engine._own_task import OwnTask

NUMBERS = 1 << 23  # of per-example gradients at once


def lifted(task: Task) -> Way:
    """The forward pass lifted by `vmap`, each example with parameters of its own, in which autograd
    then takes the gradient of the sum."""
    own = OwnTask(task)

    def forward(params: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        outputs = functional_call(own.task.module, params, (x.unsqueeze(0),))
        return outputs.squeeze(0), task.loss(outputs, y.unsqueeze(0)).squeeze(0)

    over_examples = vmap(forward, randomness="different")

    def clipped_sum(
        params: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
        clip_norm: float,
        sums: dict[str, Tensor],
    ) -> Tensor:
        each = {name: leaf.detach().expand(len(y), *leaf.shape) for name, leaf in params.items()}
        leaves = [each[name].requires_grad_() for name in sums]
        with torch.enable_grad():
            outputs, losses = over_examples(each, x, y)
            total_loss = losses.sum()
        found = torch.autograd.grad(total_loss, leaves, materialize_grads=True)
        gradients = [gradient.double() for gradient in found]
        squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0)
        factor = factors(squares, clip_norm)
        for total, gradient in zip(sums.values(), gradients, strict=True):
            add_scaled(total, factor, gradient)
        return outputs.detach()

    size = sum(p.numel() for p in task.parameters.values())
    return Way("lifted", clipped_sum, max(1, NUMBERS // size))


def one_by_one(task: Task) -> Way:
    """Plain autograd, for every model."""
    own = OwnTask(task)

    def clipped_sum(
        params: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
        clip_norm: float,
        sums: dict[str, Tensor],
    ) -> Tensor:
        given = {name: leaf.detach() for name, leaf in params.items()}
        leaves = [given[name].requires_grad_() for name in sums]
        seen = []
        for at in range(len(y)):
            with torch.enable_grad():
                outputs = functional_call(own.task.module, given, (x[at : at + 1],))
                loss = task.loss(outputs, y[at : at + 1]).sum()
            found = torch.autograd.grad(loss, leaves, materialize_grads=True)
            gradients = [gradient.double() for gradient in found]
            squares = torch.stack([g.square().sum() for g in gradients]).sum(0)
            factor = float(factors(squares, clip_norm))
            if factor:
                for total, gradient in zip(sums.values(), gradients, strict=True):
                    total.add_(gradient, alpha=factor)
            seen.append(outputs.detach())
        return torch.cat(seen)

    return Way("one by one", clipped_sum, 1 << 20)


def can_be_lifted(task: Task) -> bool:
    """Whether `vmap` has a batched form of all that the model does, as a trial shows."""
    way = lifted(task)
    trial = Examples.trial(task.spec, 2, next(iter(task.parameters.values())))
    params = {**task.parameters, **dict(task.module.named_buffers())}
    sums = {n: torch.zeros_like(p, dtype=torch.float64) for n, p in task.parameters.items()}
    try:
        # An operation without a batched form (nn.LSTM's) would be run for one example after the
        # other, with this warning at every step.
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.filterwarnings("error", message="There is a performance drop")
            way.sum(params, trial.x, trial.y, 1.0, sums)
    except (RuntimeError, UserWarning):
        return False
    return True
