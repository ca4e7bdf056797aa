"""Client-level differential privacy whose clip norm follows a quantile of the updates' norms.

Andrew, Thakkar, McMahan, Ramaswamy, "Differentially private learning with adaptive clipping",
NeurIPS 2021, algorithm 1.

| symbol | name |
| --- | --- |
| C^t, C^0 | state's clip_norm, initial_clip_norm |
| gamma, eta_C | quantile, clip_lr |
| z | noise_multiplier: of both releases of a round together |
| sigma_b | bit_noise |
| z_Delta = (z^-2 - (2 sigma_b)^-2)^(-1/2) | noise_split |

Every client sends, beside its update, whether it was within C^t: a bit less one half, so that one
client moves the sum by one half. The noise of a round is in clip norms of that very round; the next
norm is told from the noised bits alone, so it may be published.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch

from fedrun.core.chain import Context, Layer, Packets, Total
from fedrun.core.option import above, at_least, between
from fedrun.core.privacy import Privacy, Relation, Sampling
from fedrun.core.tree import Tree
from fedrun.privacy._bits import fraction_below, next_clip_norm, noise_split
from fedrun.privacy._grid import noised
from fedrun.privacy._release import TRUST, per_round_event, release
from fedrun.privacy._stream import streams
from fedrun.privacy._terms import HIDDEN, Rng, calibrated, claim_of, relation_of, target_of


def adaptive_clip(
    sampling: Sampling,
    rounds: int,
    seed: int,
    *,
    initial_clip_norm: Annotated[float, between(1e-12, 1e12)] = 0.1,
    quantile: Annotated[float, between(0, 1)] = 0.5,
    clip_lr: Annotated[float, at_least(0)] = 0.2,
    bit_noise: Annotated[float, at_least(0)] | None = None,
    noise_multiplier: Annotated[float, at_least(0)] | None = 1.0,
    target_epsilon: Annotated[float, above(0)] | None = None,
    delta: Annotated[float, between(0, 1, open_low=True, open_high=True)] = 1e-5,
    relation: Relation | None = None,
    rng: Rng = "seeded",
    leaky_diagnostics: bool = False,
) -> Privacy:
    """As central, with a clip norm that moves to a quantile of the updates' norms.

    initial_clip_norm: the norm of the first round (paper: 0.1).
    quantile: the part of all updates that are not to be clipped (paper: 0.5, the median).
    clip_lr: how fast the norm moves, as a power of e for a whole quantile (paper: 0.2); 0 stays.
    bit_noise: standard deviation of the noise on the number of unclipped updates; null: a twentieth
        of the cohort (paper), or noise_multiplier where that is more.
    noise_multiplier: of both releases of a round together, in clip norms.
    target_epsilon: take the least noise that keeps epsilon within this after all rounds.
    delta: the chance that epsilon says nothing about; well below one over the number of clients.
    relation: what neighbours are: add_remove, zero_out or replace_one; null: what the sampling's
        theorem is for.
    rng: seeded repeats to the bit and protects from nobody who knows the seed; secure draws
        entropy of its own, as a guarantee needs.
    leaky_diagnostics: write training figures and who took part, without noise, beside epsilon.
    """
    neighbours, secret = relation_of(sampling, relation), streams(rng, seed)
    noise = calibrated(
        lambda noise: per_round_event(noise, sampling),
        noise_multiplier, target_epsilon, delta, neighbours, rounds,
    )  # fmt: skip
    on_bits = max(sampling.cohort / 20, noise) if bit_noise is None else bit_noise
    on_updates = noise_split(noise, on_bits)

    def add_noise(total: Tree, scale: float, state: Tree, where: Context) -> tuple[Tree, Tree]:
        std = on_updates * state["clip_norm"] * scale
        return noised(total, std, secret("noise", where.round, 0)), state

    updates = release(
        lambda told: float(told["clip_norm"]),
        add_noise,
        sampling.cohort,
        init=lambda: Tree(clip_norm=initial_clip_norm),
        told=lambda state: state,
    )

    def encode(packets: Packets, told: Tree, where: Context) -> Packets:
        sent = updates.encode(packets, told, where)
        assert sent.clipped is not None
        came = packets.weight.cpu() > 0  # a dropped client says nothing
        bits = torch.stack([came & ~sent.clipped, came & sent.clipped], dim=1).to(torch.int32)
        return replace(sent, update=Tree(update=sent.update, bits=bits))

    def decode(total: Total, state: Tree, where: Context) -> tuple[Total, Tree]:
        below, above_norm = total.update["bits"].tolist()
        mean, _ = updates.decode(replace(total, update=total.update["update"]), state, where)
        bits = secret("noise", where.round, 1)
        noisy = on_bits if noise else 0.0
        fraction = fraction_below(below, above_norm, sampling.cohort, noisy, bits)
        renewed = next_clip_norm(state["clip_norm"], fraction, quantile, clip_lr)
        return mean, Tree(clip_norm=renewed)

    return Privacy(
        layer=Layer(encode=encode, decode=decode, init=updates.init, told=updates.told),
        claim=claim_of("client", neighbours, delta, TRUST, rng, leaky_diagnostics, HIDDEN),
        event=per_round_event(noise, sampling),
        streams=secret,
        figures=lambda state: {"privacy/clip_norm": float(state["clip_norm"])},
        target=target_of(target_epsilon, rounds),
        leaky=leaky_diagnostics,
        repeats=rng == "seeded",
    )
