"""What a reader of an epsilon should be told besides: when it says little, and when noise drowns
what is to be learnt."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, inf, sqrt

from fedrun.core.bound import upwards
from fedrun.core.option import ConfigError

USABLE = 4.0  # an even guess about one participant may become e^4 / (1 + e^4) = 98 % sure


def advice(
    epsilon: float,
    delta: float,
    noise: float,
    cohort: float | None,
    population: int | None,
    parameters: int | None,
    noise_for: Callable[[float], float] | None,
) -> list[str]:
    """Warnings, in whole sentences.

    noise: multiplier on the sum; 0 where there is another mechanism than Gaussian noise
    noise_for: epsilon -> the multiplier that it needs, all else alike; None where that says nothing
    """
    return [
        text
        for text in (
            doubtful_delta(delta, population),
            drowned(noise, cohort, parameters),
            says_little(epsilon, noise, cohort, population, noise_for),
        )
        if text
    ]


def doubtful_delta(delta: float, population: int | None) -> str:
    """M23: with delta 1/N, one of N participants may be published whole."""
    if population is None or delta * 10 * population <= 1 + 1e-9:
        return ""
    return (
        f"delta {delta:g} is above a tenth of 1 over the {population:,} participants: it "
        f"lets {delta * population:.2g} of them be laid open; take {0.1 / population:.1g} or less"
    )


def drowned(noise: float, cohort: float | None, parameters: int | None) -> str:
    """On the mean of m clipped updates the noise has norm z C sqrt(d) / m; the mean at most C."""
    if cohort is None or parameters is None or noise * sqrt(parameters) <= cohort:
        return ""
    ratio = noise * sqrt(parameters) / cohort
    return (
        f"the noise on the mean update is {ratio:.3g} times as long as the update can "
        f"be (z sqrt(d) / m, {parameters:,} parameters): the federation is too small for its "
        f"noise; it takes a cohort of {ceil(noise * sqrt(parameters)):,}, or a smaller model"
    )


def says_little(
    epsilon: float,
    noise: float,
    cohort: float | None,
    population: int | None,
    noise_for: Callable[[float], float] | None,
) -> str:
    if epsilon == inf:
        return (
            "no epsilon is finite: something is released without noise, or with delta 0 and "
            "Gaussian noise; nothing is protected"
        )
    if epsilon <= USABLE:
        return ""
    sure = 1 / (1 + exp(-epsilon))
    said = "over 99.9" if sure > 0.999 else f"{100 * sure:.3g}"
    text = (
        f"epsilon {upwards(epsilon)} lets an even guess about one participant become {said} % sure"
    )
    if noise <= 0 or noise_for is None:
        return text
    try:
        needed = noise_for(USABLE)
    except ConfigError:
        return text
    text += f"; epsilon {USABLE:g} needs a noise multiplier of {needed:.3g}"
    if cohort is None or population is None:
        return text
    factor = needed / noise
    return (
        text + f", and a mean no noisier than now then needs a cohort of {ceil(cohort * factor):,} "
        f"out of {ceil(population * factor):,}: the federation is too small for its noise"
    )
