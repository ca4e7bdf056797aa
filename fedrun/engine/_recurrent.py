"""Embedding, LSTM layers and a linear layer, trained by the compiled kernel
(`kernel/recurrent.cpp`): whole clients in one call, the interpreter lock released."""

from __future__ import annotations

import copy
import ctypes
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedrun.core.local import SGD
from fedrun.core.plan import ChunkPlan
from fedrun.core.task import Examples, Task
from fedrun.engine._compiler import UnavailableError, library
from fedrun.engine._draws import draws_while_training
from fedrun.engine._kernel import Kernel, answerer, integers, trainer
from fedrun.engine._objective import Terms

SOURCE = Path(__file__).with_name("kernel") / "recurrent.cpp"


@dataclass(frozen=True)
class Recurrent:
    """A network's sizes, in the order the kernel reads them.

    every: whether each position has a target of its own, or the last one speaks for the example.
    """

    symbols: int
    embedding: int
    hidden: int
    layers: int
    outputs: int
    positions: int
    every: bool

    @property
    def products(self) -> int:
        """Multiplications of an example's forward pass."""
        lstm = self.embedding + self.hidden * (2 * self.layers - 1)
        answers = self.positions if self.every else 1
        return self.hidden * (4 * lstm * self.positions + self.outputs * answers)


def recurrent(task: Task) -> Recurrent | None:
    """The network's sizes; None for one that the kernel does not know.

    A module of these layers can put them together in any way: what it computes is tried out.
    """
    module, spec = task.module, task.spec
    layers = list(module.children())
    if spec.kind not in ("classes", "tokens") or len(spec.input_shape) != 1:
        return None
    if [type(layer) for layer in layers] != [nn.Embedding, nn.LSTM, nn.Linear]:
        return None
    embedding, lstm, linear = layers
    assert isinstance(embedding, nn.Embedding)
    assert isinstance(lstm, nn.LSTM)
    assert isinstance(linear, nn.Linear)
    sizes = Recurrent(
        embedding.num_embeddings, embedding.embedding_dim, lstm.hidden_size, lstm.num_layers,
        spec.outputs, spec.input_shape[0], spec.kind == "tokens",
    )  # fmt: skip
    fitting = (
        spec.vocabulary is not None
        and spec.vocabulary <= sizes.symbols
        and lstm.input_size == sizes.embedding
        and linear.in_features == sizes.hidden
        and linear.out_features == sizes.outputs
    )
    # A few answers cannot show what `forward` does besides (detach, look at a rare token).
    vouched = type(module).__dict__.get("LAYERS_ALONE") is True
    known = vouched and fitting and usual(embedding, lstm, linear) and plain(module, layers)
    return sizes if known and computes(task, sizes) else None


def usual(embedding: nn.Embedding, lstm: nn.LSTM, linear: nn.Linear) -> bool:
    """Whether no option asks for more than the plain layers."""
    rows = embedding.padding_idx is None and embedding.max_norm is None
    one_way = lstm.batch_first and lstm.bias and not lstm.bidirectional and not lstm.proj_size
    return (
        rows
        and not embedding.scale_grad_by_freq
        and not embedding.sparse
        and one_way
        and (lstm.num_layers == 1 or not lstm.dropout)
        and linear.bias is not None
    )


def plain(module: nn.Module, layers: list[nn.Module]) -> bool:
    """Whether all parameters are trained, the layers' own and in their order, without hooks."""
    params = list(module.parameters())
    own = [p for layer in layers for p in layer.parameters(recurse=False)]
    return (
        len(params) == len(own)
        and all(one is other for one, other in zip(params, own, strict=True))
        and all(type(p) is nn.Parameter and p.requires_grad for p in params)
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in params)
        and not any(p._backward_hooks for p in params)
        and not list(module.buffers())
        and not any(
            layer._forward_hooks
            or layer._forward_pre_hooks
            or layer._backward_hooks
            or layer._backward_pre_hooks
            or "forward" in vars(layer)
            for layer in module.modules()
        )
    )


def computes(task: Task, sizes: Recurrent) -> bool:
    """Whether the module's answer to random symbols, in training and in evaluation mode and with
    random parameters, is that of its layers one after the other."""
    if draws_while_training(task):
        return False
    module = copy.deepcopy(task.module)
    params = [p.detach() for p in module.parameters()]
    draw = torch.Generator().manual_seed(0)
    for p in params:
        p.copy_(torch.randn(p.shape, generator=draw) / max(p.shape[-1], 1) ** 0.5)
    x = Examples.trial(task.spec, 5).x
    with torch.no_grad():
        expected = outputs_of(sizes, params, x)
        answers = [module.train(training)(x) for training in (True, False)]
    return all(
        isinstance(found, Tensor)
        and found.shape == expected.shape
        and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
        for found in answers
    )


def outputs_of(sizes: Recurrent, params: list[Tensor], x: Tensor) -> Tensor:
    """The network by PyTorch's own functions."""
    table, *lstm, weight, bias = params
    read = F.embedding(x, table)
    zero = read.new_zeros(sizes.layers, len(x), sizes.hidden)
    read, _, _ = torch.lstm(
        read, [zero, zero], lstm, True, sizes.layers, 0.0, False, False, True
    )  # fmt: skip
    return F.linear(read if sizes.every else read[:, -1], weight, bias)


def recurrent_kernel(sizes: Recurrent) -> Kernel:
    """The compiled functions for this model; `UnavailableError` without a compiled kernel."""
    return kernel(library(SOURCE, verify), sizes)


def kernel(loaded: ctypes.CDLL, sizes: Recurrent) -> Kernel:
    *numbers, every = astuple(sizes)
    network = [(ctypes.c_void_p, integers(numbers)), (ctypes.c_int32, every)]
    shape = (sizes.positions, sizes.outputs) if every else (sizes.outputs,)
    return Kernel(
        trainer(loaded.fedrun_train_recurrent, network),
        answerer(loaded.fedrun_answer_recurrent, network, shape),
    )


def verify(loaded: ctypes.CDLL) -> None:
    """Two steps of two small networks against the same by PyTorch's autograd."""
    try_steps(loaded, Recurrent(7, 3, 35, 2, 7, 4, every=True))
    try_steps(loaded, Recurrent(5, 40, 6, 1, 3, 3, every=False))


def try_steps(loaded: ctypes.CDLL, sizes: Recurrent) -> None:
    draw, rows = torch.Generator().manual_seed(0), 13
    layout = nn.ModuleList([
        nn.Embedding(sizes.symbols, sizes.embedding),
        nn.LSTM(sizes.embedding, sizes.hidden, sizes.layers),
        nn.Linear(sizes.hidden, sizes.outputs),
    ])  # fmt: skip
    params = [torch.randn(p.shape, generator=draw) / p.shape[-1] ** 0.5
              for p in layout.parameters()]  # fmt: skip
    x = torch.randint(sizes.symbols, (rows, sizes.positions), generator=draw)
    y = torch.randint(sizes.outputs, (rows, sizes.positions), generator=draw)
    y = y if sizes.every else y[:, 0].contiguous()
    expected, bounds = params, [0, 7, rows]
    for begin, end in pairwise(bounds):
        leaves = [p.clone().requires_grad_() for p in expected]
        scores = outputs_of(sizes, leaves, x[begin:end]).flatten(0, -2)
        grads = torch.autograd.grad(F.cross_entropy(scores, y[begin:end].flatten()), leaves)
        expected = [p.detach() - g for p, g in zip(leaves, grads, strict=True)]

    found, cuts = [p.unsqueeze(0) for p in params], np.array(bounds)
    plan = ChunkPlan(1, np.array([0]), np.array([0, 2]), cuts[:-1], cuts[1:], np.arange(rows))
    run = kernel(loaded, sizes)
    given = outputs_of(sizes, params, x)
    near = torch.allclose(run.answer(params, x), given, rtol=1e-4, atol=1e-5)
    run.train(found, plan, Examples(x, y), SGD(0.0, 0.0), None, Terms(None, None, 0.0), 1.0)
    for truth, trained in zip(expected, found, strict=True):
        if not (near and torch.allclose(trained[0], truth, rtol=1e-4, atol=1e-5)):
            raise UnavailableError("the compiled kernel computes something else than PyTorch")
