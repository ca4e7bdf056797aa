"""Clipped sums of linear/ReLU chains without any example's gradient being made.

In a linear layer, an example's gradient is the outer product of its slope d and its input x, with d
itself for the bias. So its squared norm is |d|^2 (|x|^2 + 1), and the clipped sum one product of
matrices: "ghost clipping" (Goodfellow, "Efficient per-example gradient computations",
arXiv:1510.01799; Li et al., "Large language models can be strong differentially private learners",
ICLR 2022, section 4).

A compiled kernel multiplies float32 numbers into float64 sums; without one, they are widened first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrun.core.task import Task
from fedrun.engine._chain_gradient import is_chain, loss_slope
from fedrun.engine._clipped_sum import Way, factors
from fedrun.engine._layers import onednn_linear
from fedrun.engine._onednn import suits_onednn
from fedrun.engine._private_kernel import private_kernel


def ghost(task: Task) -> Way | None:
    """None where the model is no such chain."""
    spec, module = task.spec, task.module
    if not is_chain(module) or spec.vocabulary is not None or spec.kind == "tokens":
        return None
    if isinstance(module[0], nn.Linear) and len(spec.input_shape) != 1:
        return None  # a row of numbers for each of an example's parts
    names = list(task.parameters)
    layers = list(zip(names[0::2], names[1::2], strict=True))
    products = [
        onednn_linear if suits_onednn(task.parameters[name]) else blas for name in names[0::2]
    ]
    first = next(task.module.parameters())
    kernel = None
    if first.dtype == torch.float32 and first.device.type == "cpu":
        kernel = private_kernel()
    add_squares = kernel.add_squares if kernel else widened_squares
    add_gradients = kernel.add_gradients if kernel else widened_gradients

    def clipped_sum(
        params: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
        clip_norm: float,
        sums: dict[str, Tensor],
    ) -> Tensor:
        inputs, outputs = [], x.flatten(1)
        for place, (weight, bias) in enumerate(layers):
            inputs.append(outputs.relu_() if place else outputs)
            outputs = products[place](inputs[-1], params[weight], params[bias])
        slopes = [loss_slope(task.spec.kind, outputs, y)]
        for place in range(len(layers) - 1, 0, -1):
            below = products[place](slopes[0], params[layers[place][0]].t(), None)
            slopes.insert(0, torch.ops.aten.threshold_backward(below, inputs[place], 0))

        squares = torch.zeros(len(y), dtype=torch.float64, device=x.device)
        each = list(zip(layers, inputs, slopes, strict=True))
        for (weight, bias), input, slope in each:
            add_squares(input, slope, weight in sums, bias in sums, squares)
        factor = factors(squares, clip_norm)
        for (weight, bias), input, slope in each:
            add_gradients(input, slope, factor, sums.get(weight), sums.get(bias))
        return outputs

    return Way("ghost", clipped_sum, 4096)


def blas(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weight^T + bias, as `onednn_linear`."""
    return torch.addmm(bias, x, weight.t()) if bias is not None else x.mm(weight.t())


def widened_squares(x: Tensor, d: Tensor, weight: bool, bias: bool, squares: Tensor) -> None:
    """`PrivateKernel.add_squares` by PyTorch's operations, for any type."""
    size = x.double().square().sum(1) * weight + bias
    squares += d.double().square().sum(1) * size


def widened_gradients(
    x: Tensor, d: Tensor, factors: Tensor, weight: Tensor | None, bias: Tensor | None
) -> None:
    """`PrivateKernel.add_gradients`, in the same way."""
    if not bool((factors > 0).all()):  # 0 times infinity would not be 0
        kept = factors > 0
        x, d, factors = x[kept], d[kept], factors[kept]
    scaled = d.double() * factors.unsqueeze(1)
    if weight is not None:
        weight.addmm_(scaled.t(), x.double())
    if bias is not None:
        bias += scaled.sum(0)
