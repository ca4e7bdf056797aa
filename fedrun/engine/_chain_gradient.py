"""What a chain of linear layers and ReLU is, and the slope of a network's loss.

Shapes: B examples of a batch, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrun.core.dataset import Kind


def loss_slope(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    """The derivative of each example's loss by its outputs, [..., B, O]."""
    if kind == "classes":
        slope = outputs.softmax(-1)
        return slope.scatter_add_(-1, y.unsqueeze(-1), -torch.ones_like(slope[..., :1]))
    if kind == "binary":
        return outputs.sigmoid() - y.unsqueeze(-1)
    return (outputs - y) * (2 / outputs.shape[-1])


def is_chain(module: nn.Module) -> bool:
    """Whether the model is exactly Flatten?, Linear, (ReLU, Linear)*.

    A subclass, a hook, a layer or tensor used twice, or a frozen one could mean another function:
    each of them leaves the model to autograd.
    """
    if type(module) is not nn.Sequential:
        return False
    layers = list(module)
    if layers and type(layers[0]) is nn.Flatten:
        layers = layers[1:]
    kinds = [type(layer) for layer in layers]
    hooked = any(
        layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks
        for layer in module.modules()
    )
    return (
        len(kinds) % 2 == 1
        and all(kind is nn.Linear for kind in kinds[0::2])
        and all(kind is nn.ReLU for kind in kinds[1::2])
        and all(layer.bias is not None for layer in layers[0::2])
        and len(list(module.parameters())) == 2 * len(layers[0::2])  # shared ones count once
        and all(p.requires_grad for p in module.parameters())
        and not hooked
    )
