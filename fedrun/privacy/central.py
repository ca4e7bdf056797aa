"""Client-level differential privacy with a trusted server: DP-FedAvg.

McMahan, Ramage, Talwar, Zhang, "Learning differentially private recurrent language models", ICLR
2018, algorithm 1: flat clipping, the fixed-denominator estimator, and the moments accountant's
place taken by today's.

| symbol | name |
| --- | --- |
| S | clip_norm |
| z, sigma = z S / (q W) | noise_multiplier |
| q K | sampling.cohort |
| w_k = min(n_k / w^, 1) | weights=capped, weight_cap |

Differs: the whole update is cut off to a grid before it is summed, and the noise is rounded to it
(see `_release`); rounds in which nobody comes release noise, and count.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fedrun.core.chain import Context
from fedrun.core.option import ConfigError, Count, Range, above, at_least, between
from fedrun.core.privacy import Privacy, Relation, Sampling
from fedrun.core.tree import Tree
from fedrun.privacy._grid import noised
from fedrun.privacy._release import TRUST, Weights, is_nothing, per_round_event, release
from fedrun.privacy._stream import streams
from fedrun.privacy._terms import (
    HIDDEN,
    Rng,
    calibrated,
    claim_of,
    larger_event,
    relation_of,
    simulated,
    target_of,
)


def central(
    sampling: Sampling,
    rounds: int,
    seed: int,
    *,
    clip_norm: Annotated[float, Range(1e-12, 1e12, infinite=True)] = 1.0,
    noise_multiplier: Annotated[float, at_least(0)] | None = 1.0,
    target_epsilon: Annotated[float, above(0)] | None = None,
    delta: Annotated[float, between(0, 1, open_low=True, open_high=True)] = 1e-5,
    relation: Relation | None = None,
    weights: Literal["uniform", "capped"] = "uniform",
    weight_cap: Annotated[float, above(0)] | None = None,
    mean_weight: Annotated[float, between(0, 1, open_low=True)] = 1.0,
    rng: Rng = "seeded",
    leaky_diagnostics: bool = False,
    simulated_cohort: Count | None = None,
    simulated_population: Count | None = None,
) -> Privacy:
    """The server adds noise to the sum of clipped updates; each client is hidden as a whole.

    clip_norm: longest update, in Euclidean norm over all that a client sends (paper: 15 to 20 for
        an LSTM); inf with noise 0 is privacy=none.
    noise_multiplier: standard deviation of the noise on the sum, in clip norms (paper: 1).
    target_epsilon: take the least noise that keeps epsilon within this after all rounds.
    delta: the chance that epsilon says nothing about; well below one over the number of clients.
    relation: what neighbours are: a client there or not (add_remove), counted as nothing
        (zero_out), or another in its place (replace_one); null: what the sampling's theorem is for.
    weights: clients count alike (uniform), or by their examples up to weight_cap (capped).
    weight_cap: the examples beyond which a client counts no more.
    mean_weight: what clients weigh on average, as far as that is public knowledge; 1 is the cap.
    rng: seeded repeats to the bit and protects from nobody who knows the seed; secure draws
        entropy of its own, as a guarantee needs.
    leaky_diagnostics: write training figures and who took part, without noise, beside epsilon.
    simulated_cohort: scale the noise down as if so many took part, of a larger federation whose
        epsilon is told beside this run's own.
    simulated_population: the clients of that federation.
    """
    share = Weights(weights, weight_cap, mean_weight)
    if is_nothing(clip_norm, noise_multiplier):
        if weights == "capped":
            raise ConfigError(
                "privacy.weights=capped has no effect with privacy.clip_norm=inf, which is "
                "privacy=none; give a finite norm"
            )
        return Privacy()
    neighbours = relation_of(sampling, relation)
    larger = simulated(sampling, simulated_cohort, simulated_population)
    if larger and relation == "replace_one":
        raise ConfigError(
            "privacy.simulated_cohort is of a federation drawn by coins, which no theorem covers "
            "under privacy.relation=replace_one; take add_remove or zero_out"
        )
    drawn = larger.sampling if larger else sampling
    asked = calibrated(
        lambda noise: per_round_event(noise, drawn),
        noise_multiplier, target_epsilon, delta,
        relation_of(drawn, relation), rounds,
    )  # fmt: skip
    event = per_round_event(asked * (larger.scale if larger else 1.0), sampling)
    secret = streams(rng, seed)

    def add_noise(total: Tree, scale: float, state: Tree, where: Context) -> tuple[Tree, Tree]:
        std = event.noise_multiplier * clip_norm * scale
        return noised(total, std, secret("noise", where.round, 0)), state

    return Privacy(
        layer=release(lambda told: clip_norm, add_noise, sampling.cohort, share),
        claim=claim_of("client", neighbours, delta, TRUST, rng, leaky_diagnostics, HIDDEN),
        event=event,
        simulated=larger_event(event, larger),
        streams=secret,
        target=None if larger else target_of(target_epsilon, rounds),
        leaky=leaky_diagnostics,
        repeats=rng == "seeded",
    )
