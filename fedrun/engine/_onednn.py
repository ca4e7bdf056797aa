"""Whether a product with a weight is faster on oneDNN than on the BLAS that PyTorch calls.

It is where PyTorch's BLAS is MKL, the processor has AVX-512 and Intel did not make it: there MKL
stays on AVX2 and oneDNN does not (AMD Zen 5, batches of 10, 3136x512: forward 290 against 490 us,
input gradient 180 against 450). The answer is read off the processor and never timed: the two
round differently, so a clock could give the workers of one run, or a run and its resumption,
different bits.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SMALLEST = 1 << 15  # weights below this are done sooner than oneDNN has looked up its kernel


def suits_onednn(weight: Tensor) -> bool:
    """Whether a linear layer with this weight should multiply with oneDNN."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= SMALLEST
        and blas_is_slower()
    )


@cache
def blas_is_slower() -> bool:
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and not made_by_intel()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def made_by_intel() -> bool:
    """Also True where nothing tells: then everything stays with the BLAS."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
