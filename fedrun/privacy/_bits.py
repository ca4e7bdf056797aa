"""The arithmetic of a clip norm that follows a quantile of the clients' norms.

Andrew, Thakkar, McMahan, Ramaswamy, "Differentially private learning with adaptive clipping",
NeurIPS 2021, algorithm 1 and theorem 1.

| symbol | name |
| --- | --- |
| b_i, whether client i's norm is at most C | below |
| sigma_b, z, z_delta | bit_noise, noise_multiplier, `noise_split` |
| gamma, eta_C, b~ | quantile, lr, fraction |
"""

from __future__ import annotations

from math import exp, sqrt

import torch

from fedrun.core.option import ConfigError
from fedrun.core.privacy import Stream
from fedrun.core.tree import Tree
from fedrun.privacy._grid import noised


def noise_split(noise_multiplier: float, bit_noise: float) -> float:
    """z_delta: the noise on the updates, in clip norms, that leaves the bits their share.

    Both releases of a round together, the updates' with `z_delta` and the sum of b_i - 1/2, which
    one client moves by 1/2, with a standard deviation of `bit_noise`, are one Gaussian release with
    `noise_multiplier`.

    >>> round(noise_split(1.0, 1.0), 7)
    1.1547005
    """
    if noise_multiplier == 0:
        return 0.0
    if noise_multiplier >= 2 * bit_noise:
        raise ConfigError(
            f"privacy.bit_noise={bit_noise:g} spends all of privacy.noise_multiplier="
            f"{noise_multiplier:g} on the clients' bits; accepted is above {noise_multiplier / 2:g}"
        )
    return 1 / sqrt(1 / noise_multiplier**2 - 1 / (2 * bit_noise) ** 2)


def fraction_below(
    below: int, above: int, expected: float, bit_noise: float, stream: Stream
) -> float:
    """b~: which part of the clients has a norm of at most the clip norm, with noise.

    below, above: how many of those who came; expected: how many come on average, a public number:
    who does not come counts as one half.
    """
    # below - above is twice the sum of b_i - 1/2; the grid has 2^20 steps in 1 of it
    total = Tree(balance=torch.tensor((below - above) * _STEPS, dtype=torch.int64))
    balance = noised(total, 2 * bit_noise * _STEPS, stream)["balance"].item() / _STEPS
    return float(0.5 + balance / 2 / expected)


_STEPS = 2**20


def next_clip_norm(clip_norm: float, fraction: float, quantile: float, lr: float) -> float:
    """C of the next round: smaller where more than `quantile` of the norms are at most C."""
    # Where all are zero, or noise alone speaks, C would run out of what a grid can hold.
    growth = min(max(-lr * (fraction - quantile), -60.0), 60.0)  # of which exp is a number
    return min(max(clip_norm * exp(growth), 1e-12), 1e12)
