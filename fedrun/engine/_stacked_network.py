"""The step of a stack of plain networks, written out without autograd: a Sequential of Conv2d,
ReLU, MaxPool2d, Flatten and Linear in any order that ends in a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedrun.core.dataset import Kind
from fedrun.core.local import Tensors
from fedrun.core.task import Task
from fedrun.engine._network import convolution, fits, plain, pool, put_pooling_first
from fedrun.engine._stacked_layers import Convolution, Flatten, Images, Layer, Linear, Pool, ReLU
from fedrun.engine._stacked_updates import Update

Step = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [k, B, ...], target [k, B, ...], weight [k, B]) -> outputs [k, B, ...]; tells the update the
gradients of `sum_b weight * loss`"""


@dataclass(frozen=True)
class Model:
    """bind: (parameters [k, ...] of the first clients, update) -> Step
    target: what a step is given in the place of y, which may be reckoned for many steps at once."""

    bind: Callable[[Tensors, Update], Step]
    target: Callable[[Tensor], Tensor]


def stacked_network(task: Task) -> Model | None:
    """The written-out step; None for a model that is not exactly such a network."""
    module, spec = task.module, task.spec
    if type(module) is not nn.Sequential or spec.kind == "tokens" or spec.vocabulary is not None:
        return None
    modules = list(module)
    if not plain(module) or not fits(modules, spec.input_shape):
        return None
    put_pooling_first(modules)
    parameter = next(module.parameters())
    classes = torch.arange(spec.outputs, device=parameter.device)

    def bind(params: Tensors, update: Update) -> Step:
        layers = bound(modules, params, update)
        lowest = next(at for at, one in enumerate(layers) if isinstance(one, Convolution | Linear))
        below = layers[:lowest]
        above = layers[lowest:]

        def step(x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
            for layer in below:
                x = layer.forward(x)
            for layer in above:
                x = layer.forward(x)
            d = slope(spec.kind, x, target).mul_(weight.unsqueeze(-1))
            for layer in reversed(above):
                d = layer.backward(d, layer is above[0])
            return x

        return step

    def target(y: Tensor) -> Tensor:
        if spec.kind == "classes":
            return (y.unsqueeze(-1) == classes).to(parameter.dtype)
        return y.unsqueeze(-1) if spec.kind == "binary" else y

    return Model(bind, target)


def bound(modules: list[nn.Module], params: Tensors, update: Update) -> list[Layer]:
    """The layers over these parameters."""
    images = any(isinstance(layer, nn.Conv2d | nn.MaxPool2d) for layer in modules)
    layers: list[Layer] = [Images()] if images else []
    at = 0
    for place, layer in enumerate(modules):
        before = modules[place - 1] if place else None
        if isinstance(layer, nn.Conv2d):
            layers.append(Convolution(params, update, convolution(layer, at, pooled=False)))
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(Pool(pool(layer, None)))
        elif isinstance(layer, nn.ReLU):
            layers.append(ReLU(in_place=isinstance(before, nn.Conv2d | nn.MaxPool2d | nn.Linear)))
        elif isinstance(layer, nn.Flatten):
            layers.append(Flatten(images))
            images = False
        elif isinstance(layer, nn.Linear):
            layers.append(Linear(params, update, at, layer.bias is not None))
        at += len(list(layer.parameters()))
    return layers


def slope(kind: Kind, outputs: Tensor, target: Tensor) -> Tensor:
    """The derivative of each example's loss by its outputs, [k, B, O]."""
    if kind == "classes":
        return torch.softmax(outputs, -1).sub_(target)
    if kind == "binary":
        return torch.sigmoid(outputs).sub_(target)
    return (outputs - target).mul_(2 / outputs.shape[-1])
