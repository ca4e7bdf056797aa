"""What the client-level mechanisms share: clip on the client, an exact integer sum, noise at the
server, and a denominator that everybody knows.

A client's contribution is its whole update, every tree of it together, clipped to one L2 norm and
cut off to whole steps of a grid. So the sum is exact, one client moves it by at most the clip norm,
and rounding the noise to the grid too is post-processing of the Gaussian mechanism: no hole that
floating point leaves can tell two sums apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import torch
from torch import Tensor

from fedrun.core.chain import Context, Layer, Packets, Total
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Event, Sampling
from fedrun.core.tree import Tree
from fedrun.privacy._grid import clipped_to_grid, from_grid, grid_scale, num_parameters

TRUST = "the server sees each client's update and adds the noise"

AddNoise = Callable[[Tree, float, Tree, Context], tuple[Tree, Tree]]
"""(exact sum in grid steps, grid steps in a unit, state, where) -> (noisy sum, state)"""


@dataclass(frozen=True)
class Weights:
    """How much a client counts: alike, or by its examples up to a cap, in units of the cap."""

    rule: Literal["uniform", "capped"] = "uniform"
    cap: float | None = None
    mean: float = 1.0

    def __post_init__(self) -> None:
        if self.rule == "capped" and self.cap is None:
            raise ConfigError(
                "privacy.weights=capped needs privacy.weight_cap, the examples beyond which a "
                "client counts no more"
            )
        if self.rule == "uniform" and self.cap is not None:
            raise ConfigError(
                f"privacy.weight_cap={self.cap:g} has no effect with privacy.weights=uniform; take "
                f"privacy.weights=capped"
            )
        if self.rule == "uniform" and self.mean != 1:
            raise ConfigError(
                f"privacy.mean_weight={self.mean:g} has no effect with privacy.weights=uniform; "
                f"take privacy.weights=capped"
            )

    def of(self, examples: Tensor) -> Tensor | None:
        """Tensor [C] in [0, 1]; None is 1 for each."""
        if self.cap is None:
            return None
        return (examples / self.cap).nan_to_num(nan=0.0, posinf=1.0, neginf=0.0).clamp(0.0, 1.0)


ALIKE = Weights()


def release(
    clip_norm: Callable[[Tree], float],
    add_noise: AddNoise,
    expected: float,
    weights: Weights = ALIKE,
    init: Callable[[], Tree] = Tree,
    told: Callable[[Tree], Tree] = lambda state: Tree(),
) -> Layer:
    """The layer in the place of weighing.

    clip_norm: (what clients are told, or the state) -> the norm of this round; add_noise: see
    there; expected: how many contributions the sum is divided by, whoever came.
    """

    def encode(packets: Packets, words: Tree, context: Context) -> Packets:
        share = weights.of(packets.weight)
        update, clipped, _ = clipped_to_grid(packets.update, clip_norm(words), factor_C=share)
        return Packets(update, torch.ones_like(packets.weight), clipped)

    def decode(total: Total, state: Tree, context: Context) -> tuple[Total, Tree]:
        scale = grid_scale(clip_norm(state), num_parameters(total.update.map(lambda x: x[None])))
        noisy, renewed = add_noise(total.update, scale, state, context)
        mean = from_grid(noisy, scale, expected * weights.mean)
        return replace(total, update=mean), renewed

    return Layer(encode=encode, decode=decode, init=init, told=told)


def per_round_event(noise_multiplier: float, sampling: Sampling) -> Event:
    return Event(mechanism="gaussian", sampling=sampling, noise_multiplier=noise_multiplier)


def is_nothing(clip_norm: float, noise_multiplier: float | None) -> bool:
    """Whether neither clip nor noise are asked for; one of them alone may be."""
    if clip_norm == inf and noise_multiplier != 0:
        raise ConfigError(
            "privacy.clip_norm=inf bounds nothing, and no noise can hide what is not bounded; give "
            "a finite norm, or privacy.noise_multiplier=0 too, which is privacy=none"
        )
    return clip_norm == inf
