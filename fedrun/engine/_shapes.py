"""What the compiled kernel is told of a network: the sizes of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from fedrun.core.task import Task
from fedrun.engine._chain_gradient import is_chain
from fedrun.engine._network import conv_padding, fits, pair, plain

KINDS = ("classes", "binary", "number")
POOL = {"kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0], "dilation": [1, 1]}


@dataclass(frozen=True)
class Convolution:
    """A convolution, ReLU and, if `pooled`, 2x2 max pooling, in the order the kernel reads them."""

    channels: int
    height: int
    width: int
    outputs: int
    tall: int
    wide: int
    above: int
    beside: int
    pooled: int

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of the result, before pooling."""
        return (
            self.height + 2 * self.above - self.tall + 1,
            self.width + 2 * self.beside - self.wide + 1,
        )

    @property
    def result(self) -> tuple[int, int, int]:
        rows, columns = (side // (1 + self.pooled) for side in self.places)
        return self.outputs, rows, columns


@dataclass(frozen=True)
class Shapes:
    """Convolutions, then linear layers of these sizes, inputs first."""

    convolutions: list[Convolution]
    sizes: list[int]

    @property
    def products(self) -> int:
        """Multiplications of an example's forward pass."""
        weights = [c.outputs * c.channels * c.tall * c.wide for c in self.convolutions]
        places = [prod(c.places) for c in self.convolutions]
        linear = sum(inputs * outputs for inputs, outputs in pairwise(self.sizes))
        return linear + sum(map(int.__mul__, weights, places))


def shapes(task: Task) -> Shapes | None:
    """The network's sizes; None for one that the kernel does not know."""
    module, spec = task.module, task.spec
    if spec.kind not in KINDS or type(module) is not nn.Sequential:
        return None
    layers = list(module)
    if is_chain(module):
        linear = layers[isinstance(layers[0], nn.Flatten) :]
        return Shapes([], [linear[0].in_features, *(one.out_features for one in linear[0::2])])
    images = len(spec.input_shape) == 3 and spec.vocabulary is None
    if not images or not plain(module) or not fits(layers, spec.input_shape):
        return None
    return images_first(layers, spec.input_shape)


def images_first(layers: list[nn.Module], shape: tuple[int, ...]) -> Shapes | None:
    """The sizes of convolutions and the linear layers behind them; takes them from the list."""
    convolutions = []
    while layers and isinstance(layers[0], nn.Conv2d):
        block = convolution(layers, shape)
        if block is None or min(*block.places, *block.result) < 1:
            return None
        convolutions.append(block)
        shape = block.result
    kinds = [type(layer) for layer in layers]
    if len(kinds) % 2 or kinds != [nn.Flatten, *[nn.Linear, nn.ReLU] * len(kinds)][: len(kinds)]:
        return None
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    sizes = [prod(shape), *(layer.out_features for layer in linear)]
    if not linear or any(layer.bias is None for layer in linear):
        return None
    fitting = [layer.in_features for layer in linear] == sizes[:-1]
    return Shapes(convolutions, sizes) if fitting else None


def convolution(layers: list[nn.Module], shape: tuple[int, ...]) -> Convolution | None:
    """Take a convolution, its ReLU and its pooling, in either order, from the front of the list."""
    layer = layers.pop(0)
    assert isinstance(layer, nn.Conv2d)
    padding = conv_padding(layer)
    usual = (pair(layer.stride), pair(layer.dilation), layer.groups) == ([1, 1], [1, 1], 1)
    if not usual or padding is None or layer.bias is None or layer.in_channels != shape[0]:
        return None
    behind = [type(one) for one in layers[:2]]
    pooled = nn.MaxPool2d in behind and set(behind) == {nn.ReLU, nn.MaxPool2d}
    if not pooled and behind[:1] != [nn.ReLU]:
        return None
    taken = [layers.pop(0) for _ in range(1 + pooled)]
    for pool in taken:
        if isinstance(pool, nn.MaxPool2d) and (
            pool.ceil_mode or any(pair(getattr(pool, key)) != want for key, want in POOL.items())
        ):
            return None
    return Convolution(*shape, layer.out_channels, *pair(layer.kernel_size), *padding, int(pooled))  # type: ignore[arg-type]
