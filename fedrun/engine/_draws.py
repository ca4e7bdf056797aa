"""Whether a model draws random numbers while it trains, as dropout does."""

from __future__ import annotations

import copy

import torch

from fedrun.core.task import Task


def draws_while_training(task: Task) -> bool:
    """Run the model once on two empty examples and see whether PyTorch's generator moved."""
    module = copy.deepcopy(task.module).train()
    device = next(module.parameters()).device
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        module(torch.zeros(2, *task.spec.input_shape, device=device))
        return not torch.equal(before, torch.get_rng_state())
