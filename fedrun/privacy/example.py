"""Example-level differential privacy at each client: DP-SGD.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang, "Deep learning with differential privacy",
CCS 2016, algorithm 1, as each client's local training. The engine takes the steps
(`fedrun/engine/_private.py`).

| symbol | name |
| --- | --- |
| C | clip_norm |
| sigma | noise_multiplier |
| L | local.batch_size |
| q = L / N | the chance of each of a client's N examples to be in the batch of a step |

Every client has an account of its own, as the q of each is another. That clients are drawn by
chance is not counted in its favour: nobody hides from the server who takes part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np

from fedrun.core.local import Local
from fedrun.core.option import above, at_least, between
from fedrun.core.partition import Ragged
from fedrun.core.privacy import Event, Privacy, PrivateSteps, Sampling
from fedrun.privacy._stream import streams
from fedrun.privacy._terms import HIDDEN, Rng, calibrated, claim_of, noise_asked, target_of

TRUST = "nobody but the client itself is trusted with examples: noise is in every local step"
SCHEDULE = "how many examples each client holds, who takes part and the local steps are public"
GROUP = "hides one example of a client; for all that a client holds this is no statement"


def example(
    rounds: int,
    seed: int,
    local: Local,
    held: Ragged,
    *,
    clip_norm: Annotated[float, between(1e-12, 1e12)] = 1.0,
    noise_multiplier: Annotated[float, at_least(0)] | None = 1.0,
    target_epsilon: Annotated[float, above(0)] | None = None,
    delta: Annotated[float, between(0, 1, open_low=True, open_high=True)] = 1e-5,
    rng: Rng = "seeded",
    leaky_diagnostics: bool = False,
) -> Privacy:
    """Clients clip the gradient of each example and add noise in every step (DP-SGD).

    clip_norm: longest gradient of one example, in Euclidean norm over all that is trained (paper:
        4 on MNIST).
    noise_multiplier: standard deviation of the noise on a batch's sum, in clip norms (paper: 2 to
        8).
    target_epsilon: take the least noise that keeps each client's epsilon within this, were it there
        in all rounds.
    delta: the chance that epsilon says nothing about; well below one over a client's examples.
    rng: seeded repeats to the bit and protects from nobody who knows the seed; secure draws
        entropy of its own, as a guarantee needs.
    leaky_diagnostics: write training figures, without noise, beside epsilon.
    """
    noise_asked(noise_multiplier, target_epsilon)
    batch = local.work.batch_size

    def event(noise: float, examples: int) -> Event:
        mean = min(batch, examples) if batch else examples
        drawn = Sampling(scheme="poisson", population=examples, cohort=mean)
        return Event(mechanism="gaussian", sampling=drawn, noise_multiplier=noise)

    noise = noise_multiplier
    if noise is None:
        assert target_epsilon is not None
        noise = enough(event, worst(local, held), target_epsilon, delta, rounds)
    secret = streams(rng, seed)
    told = (SCHEDULE, GROUP, HIDDEN)
    return Privacy(
        claim=claim_of("example", "zero_out", delta, TRUST, rng, leaky_diagnostics, *told),
        own=lambda examples, steps: (event(noise, examples), steps),
        streams=secret,
        steps=PrivateSteps(clip_norm=clip_norm, noise_multiplier=noise, streams=secret),
        withholds=("train/", "personal/"),  # who takes part is public
        target=target_of(target_epsilon, rounds),
        leaky=leaky_diagnostics,
        repeats=rng == "seeded",
    )


def enough(
    event: Callable[[float, int], Event],
    clients: list[tuple[int, int]],
    target: float,
    delta: float,
    rounds: int,
) -> float:
    """The least noise with which all of these (examples, local steps) are within the target."""
    from fedrun.accounting import epsilon

    def calibrate(examples: int, steps: int) -> float:
        def of(noise: float) -> Event:
            return event(noise, examples)

        return calibrated(of, None, target, delta, "zero_out", rounds * steps)

    def raised(noise: float, group: list[tuple[int, int]]) -> float:
        # nobody of a group has it worse than one with the fewest examples and the most steps
        examples, steps = group[0][0], group[-1][1]
        spent = [(event(noise, examples), rounds * steps)]
        if epsilon(spent, delta, "zero_out") <= target:
            return noise
        if len(group) == 1:
            return max(noise, calibrate(examples, steps))
        half = len(group) // 2
        return raised(raised(noise, group[:half]), group[half:])

    # most of what a client pays goes by its chance and the root of its steps
    first = max(clients, key=lambda one: event(1.0, one[0]).sampling.rate * one[1] ** 0.5)
    return raised(calibrate(*first), clients)


def worst(local: Local, held: Ragged) -> list[tuple[int, int]]:
    """(examples, local steps), both ascending, of the clients that nobody has it worse than: fewer
    examples make a larger q, and more of them more steps."""
    sizes = np.unique(held.sizes[held.holders])
    found: list[tuple[int, int]] = []
    for examples, steps in zip(sizes.tolist(), local.work.num_steps(sizes).tolist(), strict=True):
        if not found or steps > found[-1][1]:
            found.append((examples, steps))
    return found
