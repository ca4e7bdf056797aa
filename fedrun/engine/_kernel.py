"""Plain networks trained by the compiled kernel (`kernel/network.cpp`): whole clients in one call,
the interpreter lock released."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fedrun.core.dataset import Array
from fedrun.core.local import SGD, Tensors
from fedrun.core.plan import ChunkPlan
from fedrun.core.task import Examples, Task
from fedrun.engine._compiler import UnavailableError, library
from fedrun.engine._objective import Terms
from fedrun.engine._shapes import KINDS, Convolution, Shapes

SOURCE = Path(__file__).with_name("kernel") / "network.cpp"


@dataclass(frozen=True)
class Kernel:
    """The compiled functions for one network.

    train: (params, plan, examples, sgd, clip_norm, terms, lr) -> float64 [C, 3]: sums of loss,
        right answers and examples. The parameters [C, ...] are replaced by the trained ones.
    answer: (params, x [N, ...]) -> what the network answers, [N, ...].
    """

    train: Callable[[Tensors, ChunkPlan, Examples, SGD, float | None, Terms, float], Array]
    answer: Callable[[Tensors, Tensor], Tensor]


class Stacked(ctypes.Structure):
    """A tensor [C, ...] whose clients lie `stride` floats apart; 0 where they share it."""

    _fields_ = [("at", ctypes.c_void_p), ("stride", ctypes.c_int64)]


def network_kernel(task: Task, shapes: Shapes) -> Kernel | None:
    """The compiled functions for this model, None where it is not made of float32 on the CPU;
    `UnavailableError` without a compiled kernel."""
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in task.parameters.values()):
        return None
    return kernel(library(SOURCE, verify), shapes, KINDS.index(task.spec.kind))


def kernel(loaded: ctypes.CDLL, shapes: Shapes, kind: int) -> Kernel:
    network = described(shapes)
    return Kernel(
        trainer(loaded.fedrun_train, [*network, (ctypes.c_int32, kind)]),
        answerer(loaded.fedrun_answer, network, (shapes.sizes[-1],)),
    )


def described(shapes: Shapes) -> list[tuple[Any, Any]]:
    """The sizes as the kernel's functions take them, each with its C type."""
    pointer, whole = ctypes.c_void_p, ctypes.c_int32
    convolutions = [number for c in shapes.convolutions for number in astuple(c)]
    return [
        (whole, len(shapes.convolutions)),
        (pointer, integers(convolutions)),
        (whole, len(shapes.sizes) - 1),
        (pointer, integers(shapes.sizes)),
    ]


def answerer(
    function: Any, network: Sequence[tuple[Any, Any]], shape: tuple[int, ...]
) -> Callable[[Tensors, Tensor], Tensor]:
    """A kernel's function of this network; shape: of one example's answer."""
    pointer = ctypes.c_void_p
    types, numbers = zip(*network, strict=True)
    function.argtypes = [*types, pointer, pointer, ctypes.c_int64, pointer]

    def run(params: Tensors, x: Tensor) -> Tensor:
        held, x = [p.contiguous() for p in params], x.contiguous()
        found = torch.empty(len(x), *shape)
        addresses = (pointer * len(held))(*[p.data_ptr() for p in held])
        if function(*numbers, addresses, x.data_ptr(), len(x), found.data_ptr()):
            raise MemoryError("engine=native: not enough memory to score a model")
        return found

    return run


def trainer(function: Any, network: Sequence[tuple[Any, Any]]) -> Callable[..., Array]:
    """A kernel's function of this network.

    network: the first arguments, each with its C type; those that follow are every kernel's.
    """
    pointer, real, whole = ctypes.c_void_p, ctypes.c_float, ctypes.c_int32
    types, described = zip(*network, strict=True)
    function.argtypes = [*types, whole, *[pointer] * 10, *[real] * 5, pointer]

    def run(
        params: Tensors,
        plan: ChunkPlan,
        examples: Examples,
        sgd: SGD,
        clip_norm: float | None,
        terms: Terms,
        lr: float,
    ) -> Array:
        start = [as_floats(p, p) for p in params]
        drift, anchor = (
            tensors and [as_floats(t, p) for t, p in zip(tensors, start, strict=True)]
            for tensors in (terms.drift, terms.anchor)
        )
        assert (plan.end > plan.begin).all(), "an empty batch"
        for index, p in enumerate(params):
            params[index] = torch.empty(p.shape)
        sums = np.zeros((len(plan.client), 3))
        tables = (plan.rows, plan.begin, plan.end, plan.first)
        plans = [np.ascontiguousarray(table, np.int64) for table in tables]
        failed = function(
            *described, len(plan.client),
            stacked(start), stacked(drift), stacked(anchor),
            (ctypes.c_void_p * len(params))(*[p.data_ptr() for p in params]),
            examples.x.data_ptr(), examples.y.data_ptr(),
            *[table.ctypes.data for table in plans],
            lr, sgd.momentum, sgd.weight_decay, terms.mu, clip_norm or 0.0, sums.ctypes.data,
        )  # fmt: skip
        if failed:
            raise MemoryError("engine=native: not enough memory for a client's training")
        return sums

    return run


def integers(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_int32]:
    return (ctypes.c_int32 * len(numbers))(*numbers)


def as_floats(tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor [C, ...] as float32, each client's part contiguous; clients may share one."""
    if tensor.shape != like.shape:
        raise ValueError(f"shape {tuple(tensor.shape)} where {tuple(like.shape)} was expected")
    tensor = tensor.to("cpu", torch.float32)
    whole = tensor.is_contiguous() or tensor[0].is_contiguous()
    return tensor if whole else tensor.contiguous()


def stacked(tensors: Sequence[Tensor] | None) -> ctypes.Array[Stacked] | None:
    if tensors is None:
        return None
    return (Stacked * len(tensors))(*[(t.data_ptr(), t.stride(0)) for t in tensors])


def verify(loaded: ctypes.CDLL) -> None:
    """One step of two small networks against the same step by PyTorch's autograd."""
    try_step(loaded, Shapes([], [21, 35, 5]))
    first = Convolution(1, 10, 9, 19, 5, 5, 2, 2, 1)
    try_step(loaded, Shapes([first, Convolution(*first.result, 6, 3, 3, 0, 1, 0)], [72, 5]))


def try_step(loaded: ctypes.CDLL, shapes: Shapes) -> None:
    draw = torch.Generator().manual_seed(0)
    rows, sizes = 13, shapes.sizes
    form = [(c.outputs, c.channels, c.tall, c.wide) for c in shapes.convolutions]
    params = []
    for shape in [*form, *((outputs, inputs) for inputs, outputs in pairwise(sizes))]:
        params += [torch.randn(shape, generator=draw), torch.randn(shape[0], generator=draw)]
        params[-2] /= params[-2][0].numel() ** 0.5
    x = torch.randn(rows, sizes[0], generator=draw)
    for c in shapes.convolutions[:1]:
        x = torch.randn(rows, c.channels, c.height, c.width, generator=draw)
    y = torch.arange(rows) % sizes[-1]
    leaves = [p.clone().requires_grad_() for p in params]
    grads = torch.autograd.grad(F.cross_entropy(outputs_of(shapes, leaves, x), y), leaves)

    found = [p.unsqueeze(0) for p in params]
    order, first = np.arange(rows), np.array([0, 1])
    plan = ChunkPlan(1, np.array([0]), first, np.array([0]), np.array([rows]), order)
    run = kernel(loaded, shapes, KINDS.index("classes"))
    given = outputs_of(shapes, params, x)
    near = torch.allclose(run.answer(params, x), given, rtol=1e-4, atol=1e-5)
    run.train(found, plan, Examples(x, y), SGD(0.0, 0.0), None, Terms(None, None, 0.0), 1.0)
    for p, g, trained in zip(params, grads, found, strict=True):
        if not (near and torch.allclose(trained[0], p - g, rtol=1e-4, atol=1e-5)):
            raise UnavailableError("the compiled kernel computes something else than PyTorch")


def outputs_of(shapes: Shapes, params: Tensors, x: Tensor) -> Tensor:
    """The network by PyTorch's own functions."""
    layers = zip(params[0::2], params[1::2], strict=True)
    for c, (weight, bias) in zip(shapes.convolutions, layers, strict=False):
        x = F.conv2d(x, weight, bias, padding=(c.above, c.beside)).relu()
        x = F.max_pool2d(x, 2) if c.pooled else x
    x = x.flatten(1)
    for place, (weight, bias) in enumerate(layers):
        x = F.linear(x.relu() if place else x, weight, bias)
    return x
