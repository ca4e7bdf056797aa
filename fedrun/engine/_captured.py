"""Clipped sums of plain sequences of layers: the gradients of each example, layer by layer, from a
layer's inputs x and the slopes d by its outputs, which one backward pass over a whole batch gives.

| layer | gradient of one example |
| --- | --- |
| Linear | d x^T, never made: see `_ghost` |
| Conv2d | the sum over places of d times the patch of x under it |
| GroupNorm | the sum over places of d times the normalised x |

Only layers of the kinds below take part, all of which treat each example alone; so a batch's
gradients are those of its examples, one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedrun.core.task import Examples, Task
from fedrun.engine._clipped_sum import Way, add_scaled, factors
from fedrun.engine._ghost import widened_gradients, widened_squares
from fedrun.engine._own_task import OwnTask

ALONE = {
    nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Dropout, nn.Dropout2d, nn.ELU, nn.GELU, nn.Identity,
    nn.LeakyReLU, nn.MaxPool2d, nn.ReLU, nn.SiLU, nn.Sigmoid, nn.Tanh,
}  # fmt: skip
NUMBERS = 1 << 22  # of per-example gradients and patches at once


@dataclass(frozen=True)
class Layer:
    """A layer and the paths of its parameters; no weight is no parameters."""

    module: nn.Module
    weight: str | None
    bias: str | None

    def forward(self, params: dict[str, Tensor], x: Tensor) -> Tensor:
        if self.weight is None:
            result: Tensor = self.module(x)
            return result
        weight, bias, layer = (
            params[self.weight],
            params[self.bias] if self.bias else None,
            self.module,
        )
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        if isinstance(layer, nn.Conv2d):
            return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation)
        assert isinstance(layer, nn.GroupNorm)
        return F.group_norm(x, layer.num_groups, weight, bias, layer.eps)


def captured(task: Task) -> Way | None:
    """None where the model is no such sequence."""
    found = layers_of(task.module)
    if found is None or task.spec.vocabulary is not None:
        return None
    size = most_numbers(task)
    if size is None:
        return None
    own = OwnTask(task)  # in training mode, of each thread

    def clipped_sum(
        params: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
        clip_norm: float,
        sums: dict[str, Tensor],
    ) -> Tensor:
        seen: list[tuple[Layer, Tensor, Tensor]] = []
        layers = layers_of(own.task.module) or []
        with torch.enable_grad():
            for layer in layers:
                before, x = x, layer.forward(params, x)
                if layer.weight in sums or layer.bias in sums:
                    if not x.requires_grad:
                        x.requires_grad_()
                    seen.append((layer, before.detach(), x))
            loss = task.loss(x, y).sum()
        slopes = torch.autograd.grad(loss, [outputs for _, _, outputs in seen])
        parts = [
            part_of(layer, before, slope, sums)
            for (layer, before, _), slope in zip(seen, slopes, strict=True)
        ]
        squares = torch.zeros(len(y), dtype=torch.float64, device=y.device)
        for add_squares, _ in parts:
            add_squares(squares)
        factor = factors(squares, clip_norm)
        for _, add_gradients in parts:
            add_gradients(factor)
        return x.detach()

    return Way("layer by layer", clipped_sum, max(1, NUMBERS // size))


Part = tuple[Callable[[Tensor], None], Callable[[Tensor], None]]
"""(add the squared norms of the examples' gradients to a tensor; add these gradients, each times
its factor, to the sums)"""


def part_of(layer: Layer, x: Tensor, d: Tensor, sums: dict[str, Tensor]) -> Part:
    """What one layer, of these inputs and slopes, has in the sum."""
    weight = sums.get(layer.weight or "")
    bias = sums.get(layer.bias or "")
    if isinstance(layer.module, nn.Linear):
        return (
            lambda squares: widened_squares(x, d, weight is not None, bias is not None, squares),
            lambda factor: widened_gradients(x, d, factor, weight, bias),
        )
    made: list[tuple[Tensor, Tensor]] = []
    if weight is not None:
        made.append((weight, gradients(layer.module, x, d).double()))
    if bias is not None:
        made.append((bias, d.flatten(2).sum(2, dtype=torch.float64)))

    def add_squares(squares: Tensor) -> None:
        for _, gradient in made:
            squares += gradient.flatten(1).square().sum(1)

    def add_gradients(factor: Tensor) -> None:
        for total, gradient in made:
            add_scaled(total, factor, gradient)

    return add_squares, add_gradients


def gradients(layer: nn.Module, x: Tensor, d: Tensor) -> Tensor:
    """[B, ...]: those of the weight, of each example."""
    if isinstance(layer, nn.Conv2d):
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return torch.bmm(d.flatten(2), patches.transpose(1, 2))
    assert isinstance(layer, nn.GroupNorm)
    alone = F.group_norm(x, layer.num_groups, eps=layer.eps)
    return (d * alone).flatten(2).sum(2, dtype=torch.float64)


def layers_of(module: nn.Module) -> list[Layer] | None:
    """The layers in a row; None where one is, or could be, something else."""
    if type(module) is not nn.Sequential or any(hooked(m) for m in module.modules()):
        return None
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    if len(names) != len(list(module.parameters())):
        return None  # one tensor in two places
    found = []
    for path, layer in module.named_modules(remove_duplicate=False):
        if type(layer) is nn.Sequential:
            continue
        own = {name: f"{path}.{name}" for name, p in layer.named_parameters()}
        if own and not (knows(layer) and all(p.requires_grad for p in layer.parameters())):
            return None
        if not own and not alone(layer):
            return None
        found.append(Layer(layer, own.get("weight"), own.get("bias")))
    return found


def knows(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and type(layer.padding) is tuple
    return type(layer) is nn.Linear or (type(layer) is nn.GroupNorm and layer.affine)


def alone(layer: nn.Module) -> bool:
    """Whether it treats each example alone, and leaves its input as it is."""
    if type(layer) is nn.Flatten:
        return layer.start_dim == 1 and layer.end_dim == -1
    return type(layer) in ALONE and not getattr(layer, "inplace", False)


def hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks
        or module._backward_hooks or module._backward_pre_hooks
    )  # fmt: skip


def most_numbers(task: Task) -> int | None:
    """Numbers that an example's gradients and patches make, but for linear layers. None where one
    of these reads more than a row of numbers, or a convolution what may be one image as well."""
    size, x = 1, Examples.trial(task.spec, 1, next(task.module.parameters())).x
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for layer in layers_of(task.module) or []:
            dimensions = {nn.Linear: 2, nn.Conv2d: 4}.get(type(layer.module), x.ndim)
            if x.ndim != dimensions:
                return None
            before, x = x, layer.module(x)
            if isinstance(layer.module, nn.Conv2d):
                patch = layer.module.weight[0].numel()
                size += patch * (prod(x.shape[2:]) + layer.module.out_channels) + before.numel()
    return size
