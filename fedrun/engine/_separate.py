"""Models that mix the examples of a batch have no gradient of one example to clip."""

from __future__ import annotations

import copy

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from fedrun.core.option import ConfigError
from fedrun.core.task import Examples, Task

MEND = "take a model with group normalisation, such as model=resnet18 model.norm=group"


def refuse_mixing(task: Task) -> None:
    """A `ConfigError` for batch normalisation, and for running statistics of any kind, which would
    be taken from examples without noise."""
    if any(isinstance(layer, _BatchNorm) for layer in task.module.modules()):
        raise ConfigError(
            f"privacy=example clips the gradient of each example, and batch normalisation mixes "
            f"them; {MEND}"
        )
    module = copy.deepcopy(task.module).train()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module(Examples.trial(task.spec, 2, next(module.parameters())).x)
    moved = [n for n, b in module.named_buffers() if not torch.equal(b, before[n])]
    if moved:
        raise ConfigError(
            f"privacy=example protects what clients train, and this model's buffer {moved[0]} runs "
            f"along with the examples, without noise; {MEND}"
        )
