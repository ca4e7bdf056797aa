"""Loss and gradient of a stack of linear/ReLU chains, forward and backward written out.

Shapes: C clients, B examples of a batch, I and O inputs and outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedrun.core.dataset import Kind
from fedrun.core.local import Tensors
from fedrun.core.task import Task

Gradient = Callable[[Tensors, Tensor, Tensor, Tensor], tuple[Tensors, Tensor, Tensor]]
"""(parameters [C, ...], x [C, B, ...], y [C, B, ...], weight [C, B]) ->
gradients of `sum_b weight * loss` [C, ...], loss [C, B], correct bool [C, B]"""


def chain_gradient(task: Task) -> Gradient | None:
    """The stacked gradient of Flatten, Linear, ReLU, Linear, ...; None for any other model."""
    if not is_chain(task.module):
        return None

    def gradient(params: Tensors, x: Tensor, y: Tensor, weight: Tensor):  # type: ignore[no-untyped-def]
        weights, biases = params[0::2], params[1::2]
        inputs = [x.flatten(2)]
        for layer, (w_COI, b_CO) in enumerate(zip(weights, biases, strict=True), start=1):
            z_CBO = torch.baddbmm(b_CO.unsqueeze(1), inputs[-1], w_COI.transpose(1, 2))
            inputs.append(z_CBO.relu_() if layer < len(weights) else z_CBO)
        outputs = inputs.pop()
        flat, labels = outputs.flatten(0, 1), y.flatten(0, 1)
        loss = task.loss(flat, labels).unflatten(0, weight.shape)
        correct = task.correct(flat, labels).unflatten(0, weight.shape)

        d_CBO = loss_slope(task.spec.kind, outputs, y) * weight.unsqueeze(-1)
        grads: Tensors = []
        for h_CBI, w_COI in zip(reversed(inputs), reversed(weights), strict=True):
            grads = [torch.bmm(d_CBO.transpose(1, 2), h_CBI), d_CBO.sum(1), *grads]
            if len(grads) < len(params):
                d_CBO = torch.bmm(d_CBO, w_COI) * (h_CBI > 0)
        return grads, loss, correct

    return gradient


def loss_slope(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    """The derivative of each example's loss by its outputs, [C, B, O]."""
    if kind == "classes":
        slope = outputs.softmax(-1)
        return slope.scatter_add_(-1, y.unsqueeze(-1), -torch.ones_like(slope[..., :1]))
    if kind == "binary":
        return outputs.sigmoid() - y.unsqueeze(-1)
    return (outputs - y) * (2 / outputs.shape[-1])


def is_chain(module: nn.Module) -> bool:
    """Whether the model is exactly Flatten?, Linear, (ReLU, Linear)*.

    A subclass, a hook, a layer or tensor used twice, or a frozen one could mean another function:
    each of them leaves the model to `lifted_gradient`.
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
