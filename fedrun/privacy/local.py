"""Local differential privacy: noise is added before anything leaves the client.

Kasiviswanathan, Lee, Nissim, Raskhodnikova, Smith, "What can we learn privately?", SIAM J. Comput.
2011, for the model; the Gaussian mechanism with Balle and Wang's exact calibration (ICML 2018);
Laplace's of Dwork, McSherry, Nissim, Smith (TCC 2006) on L1 norms; and, for labels instead of
updates, k-ary randomized response (Warner 1965; Kairouz, Oh, Viswanath, "Extremal mechanisms for
local differential privacy", JMLR 2016) as in label differential privacy (Ghazi et al., NeurIPS
2021):

    P[y' = y] = e^eps / (e^eps + k - 1), any other label alike.

| symbol | name |
| --- | --- |
| C | clip_norm |
| sigma / C, b / C | noise_multiplier |
| eps of one answer | epsilon |

A client's updates of all rounds in which it takes part add up; a label is answered once, before
round 1. The server's mean counts clients alike: how much each of them holds would be told too.
"""

from __future__ import annotations

from math import exp
from typing import Annotated, Literal

import numpy as np
import torch

from fedrun.core.chain import Context, Layer, Packets
from fedrun.core.dataset import Array
from fedrun.core.option import ConfigError, above, at_least, between
from fedrun.core.privacy import Event, Privacy, Relation, Sampling, Stream
from fedrun.core.tree import Tree, row, stack
from fedrun.privacy._grid import Norm, clipped_to_grid, from_grid, grid_scale, num_parameters, plus
from fedrun.privacy._stream import streams
from fedrun.privacy._terms import HIDDEN, Rng, calibrated, claim_of, target_of

TRUST = "nobody: noise is added before anything leaves the client"
ONCE = Sampling(scheme="full", population=1, cohort=1)


def local(
    rounds: int,
    seed: int,
    classes: int | None,
    *,
    mechanism: Literal["gaussian", "laplace", "randomized_response"] = "gaussian",
    clip_norm: Annotated[float, between(1e-12, 1e12)] | None = None,
    noise_multiplier: Annotated[float, at_least(0)] | None = None,
    target_epsilon: Annotated[float, above(0)] | None = None,
    epsilon: Annotated[float, above(0)] | None = None,
    delta: Annotated[float, between(0, 1, open_high=True)] = 1e-5,
    relation: Relation = "replace_one",
    rng: Rng = "seeded",
    leaky_diagnostics: bool = False,
) -> Privacy:
    """Clients add the noise themselves, and need trust nobody.

    mechanism: noise on updates (gaussian, laplace), or on the labels of examples before anything is
        trained (randomized_response).
    clip_norm: longest update, in the L2 norm, for laplace in L1; null: 1.
    noise_multiplier: standard deviation of the noise, for laplace its scale, in clip norms; null:
        1, or what target_epsilon asks for.
    target_epsilon: take the least noise that keeps the epsilon of a client that takes part in every
        round within this.
    epsilon: of one randomized response; a label is kept with e^eps / (e^eps + k - 1).
    delta: the chance that epsilon says nothing about.
    relation: what is hidden: which update it was (replace_one), or whether it was zero (zero_out).
    rng: seeded repeats to the bit and protects from nobody who knows the seed; secure draws
        entropy of its own, as a guarantee needs.
    leaky_diagnostics: write training figures, without noise, beside epsilon.
    """
    if relation == "add_remove":
        raise ConfigError(
            "privacy.relation=add_remove does not go with privacy=local, where everybody sees who "
            "takes part; take replace_one or zero_out"
        )
    if mechanism == "randomized_response":
        if relation != "replace_one":
            raise ConfigError(
                f"privacy.mechanism=randomized_response hides which label it was, and not that "
                f"there was one; take privacy.relation=replace_one, not {relation}"
            )
        refuse(clip_norm=clip_norm, noise_multiplier=noise_multiplier,
               target_epsilon=target_epsilon, mechanism=mechanism,
               leaky_diagnostics=leaky_diagnostics or None)  # fmt: skip
        if epsilon is None:
            raise ConfigError("privacy.mechanism=randomized_response needs privacy.epsilon")
        if classes is None:
            raise ConfigError(
                "privacy.mechanism=randomized_response answers for labels, and this data set has "
                "none; take gaussian or laplace"
            )
        return of_labels(epsilon, classes, delta, rng, seed)
    refuse(epsilon=epsilon, mechanism=mechanism)
    norm = 1.0 if clip_norm is None else clip_norm
    length: Norm = "l1" if mechanism == "laplace" else "l2"

    def event(noise: float) -> Event:
        return Event(mechanism=mechanism, sampling=ONCE, noise_multiplier=noise)

    asked = 1.0 if noise_multiplier is None and target_epsilon is None else noise_multiplier
    noise = calibrated(event, asked, target_epsilon, delta, relation, rounds)
    secret = streams(rng, seed)

    def encode(packets: Packets, told: Tree, where: Context) -> Packets:
        exact, clipped, _ = clipped_to_grid(packets.update, norm, length)
        size = num_parameters(packets.update)
        scale = grid_scale(norm, size, length)
        sent = []
        for index, client in enumerate(where.clients.tolist()):
            stream = secret("noise", where.round, client)
            drawn = (stream.normal(size) if length == "l2" else laplace(stream, size)).mul_(
                noise * norm * scale
            )
            sent.append(from_grid(plus(row(exact, index), drawn.round_()), scale, 1.0))
        # One whose update was not finite sends noise as well: to be missed would tell of it.
        return Packets(stack(sent), torch.ones_like(packets.weight), clipped)

    return Privacy(
        layer=Layer(encode=encode, decode=lambda total, state, where: (total, state)),
        claim=claim_of("client", relation, delta, TRUST, rng, leaky_diagnostics, HIDDEN),
        own=lambda examples, steps: (event(noise), 1),
        streams=secret,
        target=target_of(target_epsilon, rounds),
        leaky=leaky_diagnostics,
        repeats=rng == "seeded",
    )


def of_labels(epsilon: float, classes: int, delta: float, rng: Rng, seed: int) -> Privacy:
    """Labels are answered once; whatever is trained on them then is post-processing."""
    secret, keep = streams(rng, seed), 1 / (1 + (classes - 1) * exp(-epsilon))

    def answers(labels: Array) -> Array:
        coins = secret("label", 0, 0).uniform(2 * len(labels))
        other = np.floor(coins[len(labels) :] * (classes - 1)).astype(labels.dtype)
        other += (other >= labels).astype(labels.dtype)  # any label but the own
        return np.where(coins[: len(labels)] < keep, labels, other)

    return Privacy(
        answers=answers,
        once=Event(
            mechanism="randomized_response", sampling=ONCE, epsilon=epsilon, classes=classes
        ),
        claim=claim_of("label", "replace_one", delta, TRUST, rng, False, INPUTS, HIDDEN),
        streams=secret,
        withholds=(),
        repeats=rng == "seeded",
    )


INPUTS = "an example's input is not protected, only its label"


def laplace(stream: Stream, count: int) -> torch.Tensor:
    """float64 [count], of scale 1: the difference of two exponentials, from 53 bits each.

    The inverse of the distribution, of one uniform, would leave whole steps of a fine grid out
    where the noise is large: gaps by which an update is told from its neighbour (200,000
    parameters: in one update of 170).
    """
    # (k + 1) / 2^53 is in (0, 1], whose logarithm is finite
    coins = torch.from_numpy(stream.uniform(2 * count)).add_(2.0**-53).log_()
    return coins[:count] - coins[count:]


def refuse(mechanism: str, **options: object) -> None:
    """Options of the other mechanisms would have no effect."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"privacy.{name} has no effect with privacy.mechanism={mechanism}")
