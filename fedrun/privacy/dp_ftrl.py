"""Client-level differential privacy without secret sampling: DP-FTRL with a tree of noise.

Kairouz, McMahan, Song, Thakkar, Thakurta, Xu, "Practical and private (deep) learning without
sampling or shuffling", ICML 2021, algorithm 1; the tree of Dwork, Naor, Pitassi, Rothblum (STOC
2010) and Chan, Shi, Song (2011), with the estimator of Honaker (2015).

| symbol | name |
| --- | --- |
| sigma, L | noise_multiplier: of each node, in clip norms; clip_norm |
| T, restarts | rounds of a tree: restart |
| s_t, the noisy prefix sum | the sum of all that was released |

The server adds to each round's sum the noise by which the noise of the prefix sum grows. So any
server optimiser takes the steps that it takes without noise, and one with lr and no momentum stands
where DP-FTRL does: x_0 + lr * (noisy prefix sum). A client's budget depends on how often it takes
part, so the order of clients must be fixed beforehand: clients.sampling=cyclic or shuffled, or all.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from fedrun.core.chain import Context
from fedrun.core.option import Size, above, at_least, between
from fedrun.core.privacy import Event, Privacy, Relation, Sampling
from fedrun.core.tree import Tree
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
from fedrun.privacy._tree import advance, place_in_tree, prefix_noise


def dp_ftrl(
    sampling: Sampling,
    rounds: int,
    seed: int,
    *,
    clip_norm: Annotated[float, between(1e-12, 1e12)] = 1.0,
    noise_multiplier: Annotated[float, at_least(0)] | None = 5.0,
    target_epsilon: Annotated[float, above(0)] | None = None,
    restart: Size = 0,
    efficient: bool = True,
    delta: Annotated[float, between(0, 1, open_low=True, open_high=True)] = 1e-5,
    relation: Relation | None = None,
    rng: Rng = "seeded",
    leaky_diagnostics: bool = False,
) -> Privacy:
    """Noise on running sums instead of rounds: no secret cohort is needed.

    clip_norm: longest update, in Euclidean norm over all that a client sends (paper: 1).
    noise_multiplier: standard deviation of the noise of each node of the tree, in clip norms.
    target_epsilon: take the least noise that keeps epsilon within this after all rounds.
    restart: rounds before a new tree begins; 0 is never; where clients come back, a pass over all
        of them is a good length.
    efficient: combine a node's noise with that of its halves: less variance for nothing.
    delta: the chance that epsilon says nothing about; well below one over the number of clients.
    relation: what neighbours are: zero_out or replace_one; null: zero_out.
    rng: seeded repeats to the bit and protects from nobody who knows the seed; secure draws
        entropy of its own, as a guarantee needs.
    leaky_diagnostics: write training figures and who took part, without noise, beside epsilon.
    """
    neighbours, secret = relation_of(sampling, relation, coins="zero_out"), streams(rng, seed)

    def event(noise: float) -> Event:
        return Event(mechanism="tree", sampling=sampling, noise_multiplier=noise, restart=restart)

    noise = calibrated(event, noise_multiplier, target_epsilon, delta, neighbours, rounds)
    key = int(secret("noise", -1, 0).words(1)[0] >> 1)  # which streams these are; no tree is -1

    def add_noise(total: Tree, scale: float, state: Tree, where: Context) -> tuple[Tree, Tree]:
        std = noise * clip_norm * scale
        size = sum(leaf.numel() for leaf in total.leaves())
        nodes, planted = state.get("nodes", Tree()), state.get("planted", 0)
        if state.get("key", key) != key:
            # The run went on with entropy of its own: nodes over rounds of before would show those
            # once more. So a new tree begins, as the ledger has it too.
            nodes, planted = Tree(), where.round - 1
        place = place_in_tree(where.round - planted, restart)
        first = where.round - place  # rounds before this tree

        def draw(height: int, index: int) -> Tensor:
            return secret("noise", first, (index << 6) | height).normal(size).mul_(std)

        before = prefix_noise(nodes) if place > 1 else torch.zeros(size, dtype=torch.float64)
        after, renewed = advance(nodes, place, draw, efficient=efficient)
        # So the running sums are whole sums plus rounded noise, as in `_grid`.
        noisy = plus(total, after.round() - before.round())
        return noisy, Tree(nodes=renewed, planted=planted, key=key)

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
