"""The compiled parts of a step that hides each example (`kernel/private.cpp`)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.engine._compiler import UnavailableError, library

SOURCE = Path(__file__).with_name("kernel") / "private.cpp"
FINE = 2.0**44  # of a grid on which normals are compared


@dataclass(frozen=True)
class PrivateKernel:
    """All tensors on the CPU; totals and factors are float64, what has no type named float32."""

    loaded: Any

    def noised(
        self,
        words: Array,
        total: Tensor,
        scale: float,
        deviation: float,
        factor: float,
        result: Tensor,
    ) -> None:
        """result = (round(scale total) + round(deviation normals)) factor, float32 or float64.

        words: uint64, as many as the total has numbers, or one more where those are odd; of them
            the normals are made as in `Stream.normal`.
        """
        assert words.dtype == np.uint64
        assert words.flags.c_contiguous
        assert len(words) == len(total) + len(total) % 2
        single = result.dtype == torch.float32
        run = self.loaded.fedrun_noise_single if single else self.loaded.fedrun_noise_double
        run(words.ctypes.data, at(total), len(total), scale, deviation, factor, at(result))

    def add_squares(self, x: Tensor, d: Tensor, weight: bool, bias: bool, squares: Tensor) -> None:
        """squares [B] += those of the gradients of a linear layer's weight and bias, or of one of
        them, of each example: x [B, I] are its inputs, d [B, O] the slopes by its outputs."""
        rows, outputs = d.shape
        self.loaded.fedrun_add_squares(
            at(x), at(d), rows, x.shape[1], outputs, weight, bias, squares.data_ptr()
        )

    def add_gradients(
        self, x: Tensor, d: Tensor, factors: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> None:
        """weight [O, I] and bias [O] += these gradients, each times its factor; what has factor 0
        counts as nothing, even where it is not finite."""
        space = torch.empty(d.shape, dtype=torch.float64)
        rows, outputs = d.shape
        self.loaded.fedrun_add_gradients(
            at(x), at(d), factors.data_ptr(), rows, x.shape[1], outputs, space.data_ptr(),
            None if weight is None else at(weight), None if bias is None else at(bias),
        )  # fmt: skip


def at(tensor: Tensor) -> int:
    assert tensor.is_contiguous()
    return tensor.data_ptr()


@cache
def private_kernel() -> PrivateKernel | None:
    """None without a compiler."""
    try:
        return kernel(library(SOURCE, verify))
    except UnavailableError:
        return None


def kernel(loaded: ctypes.CDLL) -> PrivateKernel:
    pointer, real, long, whole = (
        ctypes.c_void_p, ctypes.c_double, ctypes.c_int64, ctypes.c_int32,
    )  # fmt: skip
    layer = [pointer, pointer]
    for name, types in {
        "fedrun_noise_single": [*layer, long, real, real, real, pointer],
        "fedrun_noise_double": [*layer, long, real, real, real, pointer],
        "fedrun_add_squares": [*layer, long, whole, whole, whole, whole, pointer],
        "fedrun_add_gradients": [*layer, pointer, long, whole, whole, *[pointer] * 3],
    }.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = types, None
    return PrivateKernel(loaded)


def verify(loaded: ctypes.CDLL) -> None:
    """Normals against NumPy's functions, at the ends of the range too; a layer against PyTorch."""
    made = kernel(loaded)
    ends = np.array([0.0, 2.0**-53, 0.125, 0.25, 0.5, 0.75, 0.875, 1 - 2.0**-53])
    grid = np.meshgrid(np.append(ends, np.arange(1, 256) / 256.0), ends)
    radius, angle = (part.ravel() for part in grid)
    words = np.concatenate([radius, angle]) * 2.0**53
    length, angle = np.sqrt(-2 * np.log(radius + 2.0**-75)), 2 * pi * angle
    wanted = np.concatenate([length * np.cos(angle), length * np.sin(angle)])
    found = torch.empty(len(wanted), dtype=torch.float64)
    total = torch.zeros_like(found)
    made.noised(words.astype(np.uint64) << np.uint64(11), total, 1.0, FINE, 1 / FINE, found)

    draw = torch.Generator().manual_seed(0)
    x, d = (torch.randn(70, width, generator=draw) for width in (53, 13))
    factors = torch.rand(70, generator=draw, dtype=torch.float64)
    squares, weight, bias = (torch.zeros(size, dtype=torch.float64) for size in (70, (13, 53), 13))
    made.add_squares(x, d, True, True, squares)
    made.add_gradients(x, d, factors, weight, bias)
    x, d = x.double(), d.double()
    scaled = factors.unsqueeze(1) * d
    pairs = [
        (found, torch.from_numpy(wanted)),
        (squares, d.square().sum(1) * (x.square().sum(1) + 1)),
        (weight, scaled.t() @ x),
        (bias, scaled.sum(0)),
    ]
    if not all(torch.allclose(left, right, rtol=1e-11, atol=1e-12) for left, right in pairs):
        raise UnavailableError("the compiled kernel computes something else than PyTorch")
