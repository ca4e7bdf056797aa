"""Linear/ReLU chains trained by steps that hide each example, whole clients in one call of the
compiled kernel (`kernel/private_network.cpp`), the interpreter lock released."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
from fedrun.engine._ghost import ghost
from fedrun.engine._kernel import as_floats, integers, stacked
from fedrun.engine._objective import Terms
from fedrun.engine._shapes import KINDS, Shapes, shapes

SOURCE = Path(__file__).with_name("kernel") / "private_network.cpp"


@dataclass(frozen=True)
class Hiding:
    """clip_norm, and the noise as in `_noise.Noise`; keys: uint8 [C, 32], of its streams, of whose
    words each step takes as many as numbers are trained, or one more where those are odd."""

    clip_norm: float
    scale: float
    deviation: float
    keys: Array


@dataclass(frozen=True)
class PrivateNetwork:
    """loaded: the library; shapes, kind: of the network."""

    loaded: Any
    shapes: Shapes
    kind: int

    def train(
        self,
        params: Tensors,
        free: Sequence[bool],
        plan: ChunkPlan,
        examples: Examples,
        sgd: SGD,
        terms: Terms,
        lr: float,
        hiding: Hiding,
    ) -> tuple[Tensors, Array]:
        """The trained parameters [C, ...], and float64 [C, 3]: sums of loss, right answers and
        examples. free: whether each parameter is trained."""
        start = [as_floats(p, p) for p in params]
        drift, anchor = (
            tensors and [as_floats(t, p) for t, p in zip(tensors, start, strict=True)]
            for tensors in (terms.drift, terms.anchor)
        )
        assert plan.expected is not None, "batches that were not drawn by coins"
        assert hiding.keys.shape == (len(plan.client), 32)
        trained = [torch.empty(p.shape) for p in params]
        sums = np.zeros((len(plan.client), 3))
        tables = (plan.rows, plan.begin, plan.end, plan.first)
        plans = [np.ascontiguousarray(table, np.int64) for table in tables]
        expected = np.ascontiguousarray(plan.expected, np.float64)
        keys = np.ascontiguousarray(hiding.keys, np.uint8)
        failed = self.loaded.fedrun_train_private(
            len(self.shapes.sizes) - 1, integers(self.shapes.sizes), self.kind, len(plan.client),
            stacked(start), stacked(drift), stacked(anchor),
            (ctypes.c_void_p * len(params))(*[p.data_ptr() for p in trained]),
            examples.x.data_ptr(), examples.y.data_ptr(),
            *[table.ctypes.data for table in plans], integers(list(map(int, free))),
            lr, sgd.momentum, sgd.weight_decay, terms.mu,
            hiding.clip_norm, hiding.scale, hiding.deviation,
            expected.ctypes.data, keys.ctypes.data, sums.ctypes.data,
        )  # fmt: skip
        if failed:
            raise MemoryError("privacy=example: not enough memory for a client's training")
        return trained, sums


def private_network(task: Task) -> PrivateNetwork:
    """`UnavailableError` says why there is none for this model."""
    known = shapes(task)
    if known is None or known.convolutions or ghost(task) is None:
        raise UnavailableError("the kernel hides examples in linear/ReLU chains alone")
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in task.parameters.values()):
        raise UnavailableError("the kernel computes in float32 on the CPU")
    loaded = loaded_library()
    if isinstance(loaded, UnavailableError):
        raise UnavailableError(str(loaded)) from loaded
    return PrivateNetwork(loaded, known, KINDS.index(task.spec.kind))


@cache
def loaded_library() -> ctypes.CDLL | UnavailableError:
    """Or why there is none; a build that failed is not tried again."""
    try:
        loaded = library(SOURCE, verify)
    except UnavailableError as reason:
        return reason
    declare(loaded)
    return loaded


def declare(loaded: ctypes.CDLL) -> None:
    pointer, whole, long = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    single, real = ctypes.c_float, ctypes.c_double
    loaded.fedrun_keystream.argtypes = [ctypes.c_char_p, long, long, pointer]
    loaded.fedrun_train_private.argtypes = [
        whole, pointer, whole, whole, *[pointer] * 11, *[single] * 4, *[real] * 3, *[pointer] * 3,
    ]  # fmt: skip


def keystream(loaded: ctypes.CDLL, key: bytes, start: int, count: int) -> Array:
    """uint64 [count]: words of AES-256 in counter mode."""
    words = np.empty(count, np.uint64)
    if loaded.fedrun_keystream(key, start, count, words.ctypes.data):
        raise MemoryError("not enough memory for a keystream")
    return words


KEY = bytes(range(32))
WORDS = "fc1e599c8ff8a61f757ccd90f5b023eb222aa019adce154efd9360cdeb953bcf"  # SHA-256 of 200,001


def verify(loaded: ctypes.CDLL) -> None:
    """Words against a known keystream, and a step of a small network, with noise and clipping,
    against the same step by PyTorch's autograd and NumPy's functions."""
    declare(loaded)
    words = keystream(loaded, KEY, 0, 200_001)
    later = keystream(loaded, KEY, 777, 5000)
    if hashlib.sha256(words.astype("<u8").tobytes()).hexdigest() != WORDS or not np.array_equal(
        later, words[777:5777]
    ):
        raise UnavailableError("the compiled kernel computes something else than AES-256")
    try_step(loaded)


def try_step(loaded: ctypes.CDLL) -> None:
    draw = torch.Generator().manual_seed(0)
    sizes, rows, scale, deviation, clip, divisor = [21, 403, 5], 13, 2.0**20, 2.0**17, 3.0, 7.0
    shapes_ = [(403, 21), (403,), (5, 403), (5,)]
    params = [torch.randn(shape, generator=draw) for shape in shapes_]
    params[2] /= 20
    x, y = torch.randn(rows, 21, generator=draw), torch.arange(rows) % 5
    total = torch.zeros(sum(p.numel() for p in params), dtype=torch.float64)
    for one, label in zip(x, y, strict=True):
        leaves = [p.clone().requires_grad_() for p in params]
        hidden = F.linear(one, leaves[0], leaves[1]).relu()
        loss = F.cross_entropy(F.linear(hidden, leaves[2], leaves[3]), label)
        flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss, leaves)]).double()
        total += flat * (clip / flat.norm()).clamp(max=1)
    words = keystream(loaded, KEY, 0, len(total) + len(total) % 2)
    noise = torch.from_numpy(box_muller(words)[: len(total)])
    released = (total * scale + noise * deviation) / (scale * divisor)
    empty = ChunkPlan(
        1, np.array([0]), np.array([0, 1]), np.array([0]), np.array([rows]), np.arange(rows),
        expected=np.array([divisor]),
    )  # fmt: skip
    hiding = Hiding(clip, scale, deviation, np.frombuffer(KEY, np.uint8).reshape(1, 32))
    made = PrivateNetwork(loaded, Shapes([], sizes), KINDS.index("classes"))
    found, _ = made.train(
        [p.unsqueeze(0) for p in params], [True] * 4, empty, Examples(x, y), SGD(0.0, 0.0),
        Terms(None, None, 0.0), 1.0, hiding,
    )  # fmt: skip
    wanted = torch.cat([p.flatten() for p in params]) - released
    if not torch.allclose(flattened(found), wanted, rtol=1e-5, atol=1e-5):
        raise UnavailableError("the compiled kernel computes something else than PyTorch")


def flattened(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors]).double()


def box_muller(words: Array) -> Array:
    """`Stream.normal` of these words, by NumPy's functions."""
    made = []
    for start in range(0, len(words), 8192):
        first, second = np.split(words[start : start + 8192], 2)
        fine = ((first & np.uint64(2047)) << np.uint64(11)) + (second & np.uint64(2047))
        chance = (first >> np.uint64(11)) * 2.0**-53 + (fine + np.uint64(1)) * 2.0**-75
        radius, angle = np.sqrt(-2 * np.log(chance)), (second >> np.uint64(11)) * 2.0**-52 * np.pi
        made += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.concatenate(made)
