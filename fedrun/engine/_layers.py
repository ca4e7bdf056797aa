"""Layers of a network, forward and backward written out with PyTorch's own operations.

A layer is only a description; everything of one client (parameters, what the forward pass keeps)
goes through the arguments, so one description serves any number of threads. `Update` is told the
gradients: it may change the parameters at once, so a layer hands them over last.

Images are channels-last throughout: oneDNN's convolutions are no slower for it, and max pooling is
15 to 40 times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from fedrun.core.local import Tensors
from fedrun.engine._updates import Update

aten = torch.ops.aten
Pair = list[int]


class Layer(Protocol):
    def forward(self, params: Tensors, x: Tensor) -> tuple[Tensor, Any]:
        """The output, and what `backward` needs."""

    def backward(
        self, params: Tensors, kept: Any, d: Tensor, update: Update, first: bool
    ) -> Tensor | None:
        """The gradient of the input from that of the output; None where nobody asks, since no layer
        below has parameters (`first`)."""


@dataclass(frozen=True)
class Convolution:
    """pooled: the next layer is a max pooling. Its backward pass moves every number of the gradient
    to one place, so the bias gradient is already known from the smaller tensor above it."""

    at: int
    bias: bool
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    pooled: bool

    def forward(self, params: Tensors, x: Tensor) -> tuple[Tensor, Any]:
        weight = params[self.at]
        bias = params[self.at + 1] if self.bias else None
        return aten.convolution(x, weight, bias, *self._how()), x

    def backward(
        self, params: Tensors, kept: Any, d: Tensor, update: Update, first: bool
    ) -> Tensor | None:
        weight = params[self.at]
        bias = self.bias and not self.pooled
        wanted = [not first, True, bias]
        below, grad, grad_bias = aten.convolution_backward(
            d, kept, weight, [weight.shape[0]], *self._how(), wanted
        )
        update.put(self.at, grad)
        if bias:
            update.put(self.at + 1, grad_bias)
        return below

    def _how(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, False, [0, 0], self.groups


@dataclass(frozen=True)
class Pool:
    """bias: the number of the bias parameter of the convolution before, or None."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    ceil: bool
    bias: int | None

    def forward(self, params: Tensors, x: Tensor) -> tuple[Tensor, Any]:
        y, where = aten.max_pool2d_with_indices(x, *self._how())
        return y, (x, where)

    def backward(
        self, params: Tensors, kept: Any, d: Tensor, update: Update, first: bool
    ) -> Tensor | None:
        if self.bias is not None:
            update.put(self.bias, channel_sums(d))
        x, where = kept  # nobody needs x any more: the gradient takes its place
        return aten.max_pool2d_with_indices_backward.grad_input(
            d, x, *self._how(), where, grad_input=x
        )

    def _how(self) -> tuple[Any, ...]:
        return self.kernel, self.stride, self.padding, self.dilation, self.ceil


@dataclass(frozen=True)
class ReLU:
    """in_place: x belongs to the layer before, which does not need it."""

    in_place: bool

    def forward(self, params: Tensors, x: Tensor) -> tuple[Tensor, Any]:
        y = x.relu_() if self.in_place else x.relu()
        return y, y

    def backward(
        self, params: Tensors, kept: Any, d: Tensor, update: Update, first: bool
    ) -> Tensor | None:
        return aten.threshold_backward.grad_input(d, kept, 0, grad_input=d)


@dataclass(frozen=True)
class Flatten:
    def forward(self, params: Tensors, x: Tensor) -> tuple[Tensor, Any]:
        return x.flatten(1), x.shape

    def backward(
        self, params: Tensors, kept: Any, d: Tensor, update: Update, first: bool
    ) -> Tensor | None:
        below = d.view(kept)
        return below.contiguous(memory_format=torch.channels_last) if below.ndim == 4 else below


@dataclass(frozen=True)
class Linear:
    """onednn: multiply by the weight with oneDNN instead of the BLAS."""

    at: int
    bias: bool
    onednn: bool

    def forward(self, params: Tensors, x: Tensor) -> tuple[Tensor, Any]:
        weight = params[self.at]
        bias = params[self.at + 1] if self.bias else None
        if self.onednn:
            return onednn_linear(x, weight, bias), x
        if bias is None:
            return x.mm(weight.t()), x
        return torch.addmm(bias, x, weight.t()), x

    def backward(
        self, params: Tensors, kept: Any, d: Tensor, update: Update, first: bool
    ) -> Tensor | None:
        weight = params[self.at]
        below = None
        if not first:
            below = onednn_linear(d, weight.t(), None) if self.onednn else d.mm(weight)
        update.dense(self.at, self.bias, d, kept)
        return below


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weight^T + bias; float32 on the CPU."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def channel_sums(d: Tensor) -> Tensor:
    """[C]: sums over examples and places of [B, C, H, W]."""
    return d.sum((0, 2, 3))
