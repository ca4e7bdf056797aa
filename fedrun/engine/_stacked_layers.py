"""Layers of a stack of networks, forward and backward written out, all clients in one operation.

A layer is made for the weights of the first k clients and keeps what its backward pass needs from
the forward pass before it. Vectors are [k, B, features]. Images lie as [k, channels, B, height,
width]: so a convolution is one batched product of its weights with all windows of all images.

Shapes: k clients, B examples, I and O inputs and outputs, G groups, L places of a window.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from fedrun.core.local import Tensors
from fedrun.engine import _layers
from fedrun.engine._stacked_updates import Update

aten = torch.ops.aten


class Layer(Protocol):
    def forward(self, x: Tensor) -> Tensor: ...

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        """The gradient of the input from that of the output; None where nobody asks, since no layer
        below has parameters (`first`)."""


class Linear:
    def __init__(self, params: Tensors, update: Update, at: int, bias: bool) -> None:
        self.update, self.at = update, at
        self.weight_kOI = params[at]
        self.weight_kIO = params[at].transpose(1, 2)
        self.bias_k1O = params[at + 1].unsqueeze(1) if bias else None
        self.x: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        if self.bias_k1O is None:
            return torch.bmm(x, self.weight_kIO)
        return torch.baddbmm(self.bias_k1O, x, self.weight_kIO)

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        x, self.x = self.x, None
        assert x is not None
        below = None if first else torch.bmm(d, self.weight_kOI)
        self.update.product(self.at, d.transpose(1, 2), x)
        if self.bias_k1O is not None:
            self.update.put(self.at + 1, d.sum(1))
        return below


class ReLU:
    """in_place: x belongs to the layer before, which does not need it."""

    def __init__(self, in_place: bool) -> None:
        self.in_place = in_place
        self.y: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.y = x.relu_() if self.in_place else x.relu()
        return self.y

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        y, self.y = self.y, None
        return aten.threshold_backward.grad_input(d, y, 0, grad_input=d)


class Images:
    """[k, B, C, H, W] as [k, C, B, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        return None


class Flatten:
    """images: from [k, C, B, H, W]; else from [k, B, ...]."""

    def __init__(self, images: bool) -> None:
        self.images = images
        self.shape = torch.Size()

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2) if self.images else x
        self.shape = x.shape
        return x.flatten(2)

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        d = d.view(self.shape)
        return d.transpose(1, 2).contiguous() if self.images else d


class Pool:
    def __init__(self, how: _layers.Pool) -> None:
        self.how = (how.kernel, how.stride, how.padding, how.dilation, how.ceil)
        self.kept: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1).contiguous()
        y, where = aten.max_pool2d_with_indices(flat, *self.how)
        self.kept = flat, where
        return y.unflatten(0, x.shape[:2])

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        assert self.kept is not None
        (x, where), self.kept = self.kept, None
        flat = d.flatten(0, 1)
        below = aten.max_pool2d_with_indices_backward(flat, x, *self.how, where)
        return below.unflatten(0, d.shape[:2])


class Convolution:
    def __init__(self, params: Tensors, update: Update, how: _layers.Convolution) -> None:
        self.update, self.at, self.how = update, how.at, how
        weight = params[how.at]
        self.kernel, self.groups = list(weight.shape[-2:]), len(weight) * how.groups
        self.weight = weight.reshape(self.groups, weight.shape[1] // how.groups, -1)  # [kG, O, I]
        self.bias = params[how.at + 1].reshape(self.groups, -1, 1) if how.bias else None
        self.columns: Tensor | None = None
        self.size: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        clients, _, examples, *self.size = x.shape
        windows = self._windows(x)
        places = windows.shape[-2:]
        columns = windows.reshape(self.groups, self.weight.shape[2], -1)  # [kG, I, BL]
        self.columns = columns
        if self.bias is None:
            y = torch.bmm(self.weight, columns)
        else:
            y = torch.baddbmm(self.bias, self.weight, columns)
        return y.view(clients, -1, examples, *places)

    def backward(self, d: Tensor, first: bool) -> Tensor | None:
        columns, self.columns = self.columns, None
        assert columns is not None
        clients, _, examples = d.shape[:3]
        flat = d.reshape(self.groups, self.weight.shape[1], -1)  # [kG, O, BL]
        below = None
        if not first:
            below = self._images(torch.bmm(self.weight.transpose(1, 2), flat), clients, examples)
        self.update.product(self.at, flat, columns.transpose(1, 2))
        if self.bias is not None:
            self.update.put(self.at + 1, flat.sum(2).view(clients, -1))
        return below

    def _windows(self, x: Tensor) -> Tensor:
        """[k, C, height and width of the kernel, B, height and width of the output], as a view."""
        (up, left), (high, wide) = self.how.padding, self.how.stride
        (down, right), (rows, columns) = self.how.dilation, self.kernel
        x = F.pad(x, (left, left, up, up)) if up or left else x
        height = (x.shape[3] - down * (rows - 1) - 1) // high + 1
        width = (x.shape[4] - right * (columns - 1) - 1) // wide + 1
        client, channel, example, row, column = x.stride()
        return x.as_strided(
            (*x.shape[:2], rows, columns, x.shape[2], height, width),
            (client, channel, down * row, right * column, example, high * row, wide * column),
            x.storage_offset(),
        )

    def _images(self, columns: Tensor, clients: int, examples: int) -> Tensor:
        """The opposite of `_windows` for a gradient: every window's part is added to its place."""
        by_example = columns.view(clients, -1, examples, columns.shape[2] // examples)
        x = F.fold(
            by_example.transpose(1, 2).flatten(0, 1),
            self.size,
            self.kernel,
            self.how.dilation,
            self.how.padding,
            self.how.stride,
        )
        return x.view(clients, examples, *x.shape[1:]).transpose(1, 2).contiguous()
