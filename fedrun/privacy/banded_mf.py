"""Client-level differential privacy with correlated noise: banded matrix factorisation.

Choquette-Choo, Ganesh, McKenna, McMahan, Rush, Thakurta, Xu, "(Amplified) banded matrix
factorization: a unified approach to private training", NeurIPS 2023; the Toeplitz form and its
search as in McKenna, "Scaling up the banded matrix factorization mechanism for differentially
private ML", ICLR 2025.

| symbol | name |
| --- | --- |
| A = B C | running sums, as what is released after C |
| C, banded and Toeplitz | `coefficients`: its first column, of norm 1 |
| b | bands |
| (k, b)-participation | no client comes back within b rounds, or more than k times |
| sens(C) = sqrt(k) | `participations` |

Round t is released with the noise (C^-1 Z)_t, whose running sums nearly cancel. The whole run is
one Gaussian release, with noise_multiplier relative to sens(C). Without secret sampling: the order
of clients must be fixed beforehand, clients.sampling=cyclic, or all with one band.
"""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Annotated

from fedrun.accounting.participation import most_turns
from fedrun.core.chain import Context
from fedrun.core.dataset import Array
from fedrun.core.option import Count, above, at_least, between
from fedrun.core.privacy import Event, Privacy, Relation, Sampling
from fedrun.core.tree import Tree
from fedrun.privacy import _banded
from fedrun.privacy._grid import plus
from fedrun.privacy._release import TRUST, release
from fedrun.privacy._stream import streams
from fedrun.privacy._terms import (
    HIDDEN,
    NOISE_KEPT,
    Rng,
    calibrated,
    claim_of,
    relation_of,
    target_of,
)


def banded_mf(
    sampling: Sampling,
    rounds: int,
    seed: int,
    *,
    clip_norm: Annotated[float, between(1e-12, 1e12)] = 1.0,
    noise_multiplier: Annotated[float, at_least(0)] | None = 1.0,
    target_epsilon: Annotated[float, above(0)] | None = None,
    bands: Count = 2,
    delta: Annotated[float, between(0, 1, open_low=True, open_high=True)] = 1e-5,
    relation: Relation | None = None,
    rng: Rng = "seeded",
    leaky_diagnostics: bool = False,
) -> Privacy:
    """Noise that cancels from round to round, where no client comes back too soon.

    clip_norm: longest update, in Euclidean norm over all that a client sends.
    noise_multiplier: of the whole run as one release: standard deviation of Z, in clip norms times
        the root of how often one client takes part.
    target_epsilon: take the least noise that keeps epsilon within this after all rounds.
    bands: rounds that the noise is correlated over; a client may come back after so many, no sooner
        (1: independent noise).
    delta: the chance that epsilon says nothing about; well below one over the number of clients.
    relation: what neighbours are: zero_out or replace_one; null: zero_out.
    rng: seeded repeats to the bit and protects from nobody who knows the seed; secure draws
        entropy of its own, as a guarantee needs.
    leaky_diagnostics: write training figures and who took part, without noise, beside epsilon.
    """
    neighbours, secret = relation_of(sampling, relation, coins="zero_out"), streams(rng, seed)

    def event(noise: float) -> Event:
        return Event(mechanism="banded", sampling=sampling, noise_multiplier=noise, bands=bands)

    noise = calibrated(event, noise_multiplier, target_epsilon, delta, neighbours, rounds)
    participations = most_turns(sampling, rounds)

    @cache
    def column() -> Array:
        return _banded.coefficients(rounds, bands)

    def add_noise(total: Tree, scale: float, state: Tree, where: Context) -> tuple[Tree, Tree]:
        std = noise * sqrt(participations) * clip_norm * scale
        size = sum(leaf.numel() for leaf in total.leaves())
        fresh = secret("noise", where.round, 0).normal(size).mul_(std)
        correlated, renewed = _banded.advance(state, where.round, column(), fresh)
        return plus(total, correlated.round()), renewed

    return Privacy(
        layer=release(lambda told: clip_norm, add_noise, sampling.cohort),
        claim=claim_of(
            "client", neighbours, delta, TRUST, rng, leaky_diagnostics, HIDDEN, NOISE_KEPT
        ),
        event=event(noise),
        streams=secret,
        target=target_of(target_epsilon, rounds),
        leaky=leaky_diagnostics,
        repeats=rng == "seeded",
    )
