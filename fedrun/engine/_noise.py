"""What is added to a sum of clipped gradients before anybody sees it: one rounded Gaussian.

The sum of d numbers is rounded to whole steps of a grid, 2^-s, the widest of those with
sqrt(d) 2^-s <= 2^-10 C. Rounding moves each of two sums by half a step a number at most, so their
distance grows from C to no more than C (1 + 2^-10); the sum is float64, and its own rounding is
many orders below that. The noise is made for C (1 + 2^-9), rounded to whole steps too, and added
exactly, as float64 holds whole numbers to 2^53. As the sum is whole, adding rounded noise is
rounding the noisy sum: post-processing of the Gaussian mechanism, without the holes of floating
point.

A compiled kernel makes the normals and adds them in one pass (200,000 numbers: 0.1 ms, beside 0.2
for the secret words; 2.3 by PyTorch's operations); without one `Stream.normal` is asked. Inside
the steps of `_whole_steps` the same noise is made, words and all.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt

import torch
from torch import Tensor

from fedrun.core.option import ConfigError
from fedrun.core.privacy import PrivateSteps, Stream
from fedrun.engine._private_kernel import PrivateKernel, private_kernel

MARGIN = 1 + 2.0**-9
MOST = 2.0**48  # steps of the noise's deviation: 11 times that, and the sum, stay below 2^53


@dataclass(frozen=True)
class Noise:
    """scale: grid steps in 1; deviation: of the noise, in grid steps, 0 is none at all; kernel:
    None is by PyTorch's operations."""

    scale: float
    deviation: float
    kernel: PrivateKernel | None

    @classmethod
    def of(cls, steps: PrivateSteps, like: Tensor) -> Noise:
        """For sums of this length, on this device."""
        scale, deviation = grid(steps, len(like))
        on_cpu = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
        return cls(scale, deviation, private_kernel() if on_cpu and deviation else None)

    def added(self, total: Tensor, stream: Stream, divisor: float, like: Tensor) -> Tensor:
        """(total + noise) / divisor, of the type of `like`; `total`, float64 [d], is written over.

        Without noise there is nothing to protect, and nothing is rounded.
        """
        if not self.deviation:
            return total.div_(divisor).to(like.dtype)
        factor = 1 / (self.scale * divisor)
        if self.kernel is None:
            noise = stream.normal(len(total)).to(total.device).mul_(self.deviation).round_()
            total.mul_(self.scale).round_().add_(noise).mul_(factor)
            return total.to(like.dtype)
        words = stream.words(len(total) + len(total) % 2)
        result = torch.empty_like(like)
        self.kernel.noised(words, total, self.scale, self.deviation, factor, result)
        return result


def grid(steps: PrivateSteps, count: int) -> tuple[float, float]:
    """(grid steps in 1, deviation of the noise in grid steps) for sums of so many numbers."""
    scale = 2.0 ** ceil(10 + log2(sqrt(count) / steps.clip_norm))
    deviation = steps.noise_multiplier * steps.clip_norm * MARGIN * scale
    if deviation > MOST:
        raise ConfigError(
            f"privacy.noise_multiplier={steps.noise_multiplier:g} is too much noise for a "
            f"model of {count} parameters; take less than "
            f"{steps.noise_multiplier * MOST / deviation:.0e}"
        )
    return scale, deviation
