"""Whether a model draws random numbers while it trains, as dropout does."""

from __future__ import annotations

import copy

import torch

from fedrun.core.task import Examples, Task


def draws_while_training(task: Task) -> bool:
    """Run the model once and see whether PyTorch's generator moved.

    On 64 random examples, since some layers (RReLU) draw for negative numbers only.
    """
    module = copy.deepcopy(task.module).train()
    x = Examples.trial(task.spec, 64, next(module.parameters())).x
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        module(x)
        return not torch.equal(before, torch.get_rng_state())
