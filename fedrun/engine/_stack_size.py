"""How many clients a stack holds where the config leaves it open.

On a GPU as many as 4 GiB have room for by an estimate from model and batch size alone: the cuts of
a cohort decide in which order sums are taken, so the card's memory must not.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from fedrun.core.local import Local
from fedrun.core.task import Examples, Task
from fedrun.engine._own_task import OwnTask

ROOM = 1 << 32  # bytes
MOST = 256  # clients: beyond it a GPU has no use for more at a time
WHOLE_SET = 256  # examples that are reckoned with where a batch is the whole local set


def stack_size(task: Task, local: Local, cohort: int) -> int:
    """Clients per chunk."""
    if not on_gpu(task):
        return min(64, -(-cohort // 4))
    return max(1, min(cohort, MOST, ROOM // client_bytes(task, local)))


def on_gpu(task: Task) -> bool:
    return next(iter(task.parameters.values())).device.type == "cuda"


def client_bytes(task: Task, local: Local) -> int:
    """What a client of a stack needs, roughly: parameters, their trained copy, gradient, drift,
    anchor and optimiser state; activations, their gradients and the windows of convolutions."""
    params = list(task.parameters.values())
    state = local.init([p.detach()[:0] if p.ndim else p.detach() for p in params])
    copies = 5 + -(-len(state) // len(params))
    size = params[0].element_size()
    batch = local.work.batch_size or WHOLE_SET
    return size * (copies * sum(p.numel() for p in params) + batch * example_numbers(task))


def example_numbers(task: Task) -> int:
    """Numbers that one example leaves on its way through the model and back."""
    module = OwnTask(task).task.module
    numbers = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        nonlocal numbers
        if isinstance(output, Tensor):
            numbers += 3 * output.numel()
        if isinstance(layer, nn.Conv2d) and isinstance(output, Tensor):
            places = prod(output.shape[2:])
            numbers += 3 * places * layer.in_channels * prod(layer.kernel_size)

    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(count)
    parameter = next(iter(task.parameters.values()))
    with torch.no_grad():
        module(Examples.trial(task.spec, 1, parameter).x)
    return numbers
