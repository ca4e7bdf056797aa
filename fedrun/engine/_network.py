"""The whole local training of one client, written out without autograd, for plain networks: a
Sequential of Conv2d, ReLU, MaxPool2d, Flatten and Linear in any order that ends in a linear layer.

Against `eager` it saves autograd's own work, the passes over the weights that an update apart from
the gradient costs (`_updates`), and what `_layers` says of pooling, biases and products.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedrun.core.local import Local, Tensors
from fedrun.core.task import Examples, Task
from fedrun.engine._batches import batches
from fedrun.engine._chain_gradient import loss_slope
from fedrun.engine._layers import Convolution, Flatten, Layer, Linear, Pool, ReLU
from fedrun.engine._objective import Terms
from fedrun.engine._onednn import suits_onednn
from fedrun.engine._sums import Sums
from fedrun.engine._updates import update_for

Pass = Callable[[Tensors, Examples, Tensor, list[int], Local, Terms, float], Tensor]
"""(params, examples, rows int64, bounds, local, terms, lr) -> float64 [3]: sums of loss, right
answers and examples. Step t trains on `rows[bounds[t]:bounds[t + 1]]`; params, this client's own
copies, are changed in place."""


def written_network(task: Task) -> Pass | None:
    """The pass for this model; None for one that is not exactly such a network."""
    layers = as_layers(task)
    if layers is None:
        return None
    lowest = next(at for at, one in enumerate(layers) if isinstance(one, Convolution | Linear))

    def run(
        params: Tensors,
        examples: Examples,
        rows: Tensor,
        bounds: list[int],
        local: Local,
        terms: Terms,
        lr: float,
    ) -> Tensor:
        sums = Sums(task)
        with torch.inference_mode():
            own = inner_channels(params)
            update = update_for(own, local, terms.map(inner_channels), lr)
            for x, y in batches(examples, rows, bounds, images_last=True):
                outputs, kept = forward(layers, own, x)
                sums.add(outputs, y)
                d = loss_slope(task.spec.kind, outputs, y).div_(len(y))
                del x, outputs
                for layer in reversed(layers[lowest:]):
                    # popped: what nobody needs any more is used again while it is in the cache
                    d = layer.backward(own, kept.pop(), d, update, layer is layers[lowest])
                del kept
                update.finish()
            for given, trained in zip(params, own, strict=True):
                if given is not trained:
                    given.copy_(trained)
            return sums.total()

    return run


def forward(layers: list[Layer], params: Tensors, x: Tensor) -> tuple[Tensor, list[object]]:
    """The outputs, and what each layer keeps for its backward pass."""
    kept = []
    for layer in layers:
        x, keep = layer.forward(params, x)
        kept.append(keep)
    return x, kept


def inner_channels(tensors: Tensors) -> Tensors:
    """Weights of convolutions (and what is shaped like them) with their channels innermost."""
    last = torch.channels_last
    return [p.contiguous(memory_format=last) if p.ndim == 4 else p for p in tensors]


def as_layers(task: Task) -> list[Layer] | None:
    """The network layer by layer; None where it is, or could be, another function."""
    module, spec = task.module, task.spec
    if type(module) is not nn.Sequential or spec.kind not in ("classes", "binary", "number"):
        return None
    modules = list(module)
    if not plain(module) or spec.vocabulary is not None or not fits(modules, spec.input_shape):
        return None
    if any(p.device.type != "cpu" for p in module.parameters()):
        return None
    put_pooling_first(modules)
    layers: list[Layer] = []
    at = 0
    for place, layer in enumerate(modules):
        before = modules[place - 1] if place else None
        after = modules[place + 1] if place + 1 < len(modules) else None
        if isinstance(layer, nn.Conv2d):
            layers.append(convolution(layer, at, isinstance(after, nn.MaxPool2d)))
        elif isinstance(layer, nn.MaxPool2d):
            bias = isinstance(before, nn.Conv2d) and before.bias is not None
            layers.append(pool(layer, at - 1 if bias else None))
        elif isinstance(layer, nn.ReLU):
            layers.append(ReLU(in_place=isinstance(before, nn.Conv2d | nn.MaxPool2d | nn.Linear)))
        elif isinstance(layer, nn.Flatten):
            layers.append(Flatten())
        elif isinstance(layer, nn.Linear):
            layers.append(Linear(at, layer.bias is not None, suits_onednn(layer.weight)))
        at += len(list(layer.parameters()))
    return layers


def put_pooling_first(modules: list[nn.Module]) -> None:
    """A maximum commutes with ReLU, so ReLU works on the smaller of the two tensors; and no pooling
    stands on a ReLU, which would still need what `Pool.backward` writes over."""
    for end in range(len(modules), 0, -1):
        for place in range(1, end):
            if isinstance(modules[place - 1], nn.ReLU) and isinstance(modules[place], nn.MaxPool2d):
                modules[place - 1 : place + 1] = modules[place], modules[place - 1]


def plain(module: nn.Sequential) -> bool:
    """Whether every layer is one of the five, unchanged, with parameters of its own.

    A subclass, a hook, a `forward` put in by hand, a parameter used twice or a frozen one could
    mean another function.
    """
    kinds = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear)
    layers, params = list(module), list(module.parameters())
    return (
        all(type(layer) in kinds for layer in layers)
        and not any(
            layer._forward_hooks
            or layer._forward_pre_hooks
            or layer._backward_hooks
            or layer._backward_pre_hooks
            or "forward" in vars(layer)
            for layer in module.modules()
        )
        and len(params) == sum(len(list(layer.parameters())) for layer in layers) > 0
        and all(type(p) is nn.Parameter and p.requires_grad for p in params)
        and not any(p._backward_hooks for p in params)
        and len({p.dtype for p in params}) == 1
        and all(p.dtype.is_floating_point for p in params)
    )


def fits(layers: list[nn.Module], shape: tuple[int, ...]) -> bool:
    """Whether the layers take and give what `_layers` handles: images [C, H, W] up to a Flatten of
    everything but the examples, vectors from there to the end."""
    images = len(shape) == 3
    for layer in layers:
        if isinstance(layer, nn.Flatten):
            if (layer.start_dim, layer.end_dim) != (1, -1):
                return False
            images, shape = False, ()
        elif isinstance(layer, nn.Conv2d):
            if not images or layer.padding_mode != "zeros" or conv_padding(layer) is None:
                return False
        elif isinstance(layer, nn.MaxPool2d):
            if not images or layer.return_indices:
                return False
        elif isinstance(layer, nn.Linear) and (images or len(shape) > 1):
            return False
    return not images and len(shape) <= 1


def convolution(layer: nn.Conv2d, at: int, pooled: bool) -> Convolution:
    padding = conv_padding(layer)
    assert padding is not None
    return Convolution(
        at=at,
        bias=layer.bias is not None,
        stride=pair(layer.stride),
        padding=padding,
        dilation=pair(layer.dilation),
        groups=layer.groups,
        pooled=pooled,
    )


def conv_padding(layer: nn.Conv2d) -> list[int] | None:
    """Places added on either side; None where the two sides differ (`same`, even kernels)."""
    if layer.padding == "valid":
        return [0, 0]
    if layer.padding == "same":
        sizes = zip(layer.dilation, layer.kernel_size, strict=True)
        total = [dilation * (kernel - 1) for dilation, kernel in sizes]
        return None if any(size % 2 for size in total) else [size // 2 for size in total]
    assert not isinstance(layer.padding, str)
    return list(layer.padding)


def pool(layer: nn.MaxPool2d, bias: int | None) -> Pool:
    return Pool(
        kernel=pair(layer.kernel_size),
        stride=pair(layer.stride),
        padding=pair(layer.padding),
        dilation=pair(layer.dilation),
        ceil=layer.ceil_mode,
        bias=bias,
    )


def pair(size: int | tuple[int, ...]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
