"""What one core can do: the fastest fp32 matrix product and convolution of PyTorch and NumPy."""

import time
from collections.abc import Callable

import contest
import numpy as np
import torch
from torch import Tensor

SIZE = 1024


def gflops(work: Callable[[], object], operations: int) -> float:
    """The best of several goes, by CPU time: a busy machine does not matter."""
    seconds = []
    for _ in range(30):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return operations / min(seconds) / 1e9


def drawn(*shape: int) -> Tensor:
    numbers = torch.randn(shape)
    return numbers.to(memory_format=torch.channels_last) if len(shape) == 4 else numbers


torch.set_num_threads(1)
with torch.no_grad():
    a, b = drawn(SIZE, SIZE), drawn(SIZE, SIZE)
    figures = {
        "torch.mm": gflops(lambda: a @ b, 2 * SIZE**3),
        "numpy": gflops(lambda: np.matmul(a.numpy(), b.numpy()), 2 * SIZE**3),
    }
    if torch.backends.mkldnn.is_available():
        linear = torch.ops.mkldnn._linear_pointwise
        figures["linear"] = gflops(lambda: linear(a, b, None, "none", [], ""), 2 * SIZE**3)
    few, many, kernel = drawn(50, 32, 14, 14), drawn(50, 64, 14, 14), drawn(64, 32, 5, 5)
    operations = 2 * 50 * 64 * 32 * 25 * 14 * 14
    figures["convolution"] = gflops(lambda: torch.conv2d(few, kernel, padding=2), operations)
    figures["its gradient"] = gflops(
        lambda: torch.conv_transpose2d(many, kernel, padding=2), operations
    )
contest.hand_in(figures)
