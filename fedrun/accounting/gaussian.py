"""The Gaussian mechanism without sampling, exactly (Balle and Wang 2018, theorem 8).

Releases with multipliers z_i, chosen one after another, are one with z^-2 = sum of z_i^-2 (Dong,
Roth and Su 2022, corollary 3.3). All here are rounded to the safe side.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, sqrt

from fedrun.core.option import ConfigError

SAFE = 1e-12  # relative; far above what the functions below are off by


def gaussian_epsilon(multiplier: float, delta: float) -> float:
    """The least epsilon of one Gaussian release; `multiplier` is standard deviation / sensitivity.

    >>> round(gaussian_epsilon(1.0, 1e-5), 4)
    4.3772
    """
    if multiplier == inf:
        return 0.0
    if multiplier <= 0 or delta <= 0:
        return inf
    return root(lambda epsilon: log_delta(multiplier, epsilon) - log(delta))


def gaussian_multiplier(epsilon: float, delta: float) -> float:
    """The least standard deviation per unit of sensitivity for (epsilon, delta), any epsilon.

    The classic sqrt(2 ln(1.25 / delta)) / epsilon is proved up to epsilon 1 only (M23).

    >>> round(gaussian_multiplier(1.0, 1e-5), 4)
    3.7306
    """
    if not epsilon > 0 or not 0 < delta < 1:
        raise ConfigError(
            f"no noise gives epsilon {epsilon:g} with delta {delta:g} "
            "(accepted: epsilon above 0, delta between 0 and 1)"
        )
    return root(lambda multiplier: log_delta(multiplier, epsilon) - log(delta))


def root(excess: Callable[[float], float]) -> float:
    """The least x >= 0 from which on the falling `excess` is not above 0, from above."""
    from scipy.optimize import brentq

    if excess(0.0) <= 0:
        return 0.0
    high = 1.0
    while excess(high) > 0:
        high *= 2
    while high > 1e-9 and excess(high / 2) <= 0:
        high /= 2
    low = high / 2 if high > 1e-9 else 0.0
    found = float(brentq(excess, low, high, xtol=1e-15, rtol=1e-13)) * (1 + SAFE)
    while excess(found) > 0:
        found *= 1 + SAFE
    return found


def log_delta(multiplier: float, epsilon: float) -> float:
    """ln of delta = Phi(1/(2z) - epsilon z) - e^epsilon Phi(-1/(2z) - epsilon z)."""
    from scipy.special import log_ndtr

    if multiplier <= 0:
        return 0.0
    first = float(log_ndtr(1 / (2 * multiplier) - epsilon * multiplier))
    second = epsilon + float(log_ndtr(-1 / (2 * multiplier) - epsilon * multiplier))
    # Rounding may bring both within a bit of each other where delta is tiny.
    return first + log(max(1 - exp(min(second - first, 0.0)), 1e-300))


def noise_left(total: float, bit_noise: float) -> float:
    """The multiplier z_delta that is left for the updates where clip bits take a share of `total`.

    bit_noise: standard deviation on the sum of bit - 1/2, of which one participant moves 1/2:
    z_delta = (total^-2 - (2 bit_noise)^-2)^(-1/2) (Andrew et al. 2021, theorem 1).

    >>> round(noise_left(1.0, 5.0), 4)
    1.005
    """
    if total == 0:
        return 0.0
    if total >= 2 * bit_noise:
        raise ConfigError(
            f"noise of {bit_noise:g} on the clip bits leaves nothing of a noise "
            f"multiplier of {total:g} (accepted: above {total / 2:g})"
        )
    return 1 / sqrt(total**-2 - (2 * bit_noise) ** -2)
