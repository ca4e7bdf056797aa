"""The sum of a batch's gradients, each clipped: what every way of taking it shares.

Gradients are of the parameters' type; norms and sums are float64, so that what rounding adds to
how far one example moves the sum is far below a step of the sum's grid (`_noise`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class ClippedSum(Protocol):
    def __call__(
        self,
        params: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
        clip_norm: float,
        sums: dict[str, Tensor],
    ) -> Tensor:
        """The outputs, detached.

        params: what the model runs with, by name. sums: float64, zero; the sum of the clipped
        gradients of those that are named here is added to it, and an example's norm is taken over
        them all. An example whose gradient is not finite counts as nothing.
        """
        ...


@dataclass(frozen=True)
class Way:
    """One way of taking it. name: for people; rows: how many examples at once at most."""

    name: str
    sum: ClippedSum
    rows: int


def factors(squares: Tensor, clip_norm: float) -> Tensor:
    """float64 [B]: what shortens gradients of these squared norms to `clip_norm`; 0 where they are
    not finite."""
    short = (clip_norm / squares.sqrt()).clamp(max=1.0)
    return torch.where(squares.isfinite(), short, torch.zeros_like(short))


def add_scaled(total: Tensor, factor: Tensor, gradients: Tensor) -> None:
    """total [...] += sum over examples of factor [B] gradients [B, ...], all float64."""
    if not bool((factor > 0).all()):  # 0 times infinity would not be 0
        kept = factor > 0
        factor, gradients = factor[kept], gradients[kept]
    total.view(-1).addmv_(gradients.flatten(1).t(), factor)
