"""The empirical audit of client-level mechanisms: the federation is trained with canaries, and what
is released is held against what is claimed.

Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (the bound).
Andrew et al., "One-shot empirical privacy estimation for federated learning", ICLR 2024 (the
canaries, and the estimate).

Whoever guesses sees every release and knows every direction; it does not know the coins, nor in
which rounds a canary was drawn, because amplification by sampling rests on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedrun.accounting import bounds, empirical
from fedrun.core.chain import init
from fedrun.core.dataset import Array
from fedrun.core.federation import Protocol, State
from fedrun.core.privacy import Event
from fedrun.experiment.audit_result import MANY, Audit, Change, Told, held_against, planned
from fedrun.experiment.bind import bind, made
from fedrun.experiment.build import Experiment
from fedrun.experiment.canary import Canaries, Directions, flat, released_into, watched
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import rounds


def of_clients(
    values: Mapping[str, Any], honest: Experiment, number: int | None, change: Change, told: Told
) -> Audit:
    """Train with so many canaries and guess who of them was in.

    number: null: 1,000, or as many as the model has parameters, if these are fewer: beyond that
    canaries hide one another.
    """
    privacy, settings = honest.privacy, honest.settings
    assert privacy.event
    assert privacy.claim
    assert privacy.layer
    number = number or min(MANY, sum(leaf.numel() for leaf in honest.task.current().leaves()))
    canaries = released_into(honest, number)
    claim, watch = privacy.claim, Directions(canaries)
    account: list[tuple[Event, int]] = [(privacy.once, 1)] if privacy.once else []
    account.append((replace(privacy.event, sampling=canaries.sampling), settings.rounds))
    claimed = bounds(account, claim.delta, claim.relation)[0].epsilon
    plan = planned(number, claimed, claim.delta, canaries.chance(settings.rounds))

    place = list(honest.federation.chain).index(privacy.layer)
    last, seen = trained(change(honest), place, canaries, watch, values, told)
    moved = cosines(honest.state, last, canaries, watch)
    estimate = None if moved is None else empirical.one_shot(*moved, claim.delta)
    return held_against(honest, plan, claimed, seen, canaries.coins, estimate=estimate)


def trained(
    experiment: Experiment,
    place: int,
    canaries: Canaries,
    watch: Directions,
    values: Mapping[str, Any],
    told: Told,
) -> tuple[State, Array]:
    """The state after the last round, and float64 [m]: how much of each canary was seen.

    place: of the privacy layer on the chain.
    """
    federation = experiment.federation
    chain = list(federation.chain)
    chain[place] = watched(chain[place], canaries, watch)
    federation = replace(federation, chain=chain, cohort=canaries.beside)
    protocol = made(bind("protocol", values["protocol"]), Protocol, federation=federation)
    state = replace(experiment.state, channel=init(chain))
    privacy = replace(experiment.privacy, figures=None)  # they are told by a layer that is wrapped
    experiment = replace(
        experiment, federation=federation, protocol=protocol, state=state, privacy=privacy
    )
    with open_crew(experiment) as crew:
        for event in rounds(experiment, state, [], crew):
            state = event.state
            told(state.round, experiment.settings.rounds)
    seen: Array = state.channel[str(place)]["seen"].numpy()
    return state, seen


def cosines(
    first: State, last: State, canaries: Canaries, watch: Directions
) -> tuple[Array, int] | None:
    """Of each canary that was in with all that the global model has changed, and in how many
    dimensions; None where the update is more than the model's, or nothing changed."""
    before, after = flat(first.server["model"]), flat(last.server["model"])
    if watch.vectors.shape[1:] != before.shape:
        return None
    change = after - before
    length = float(torch.linalg.vector_norm(change))
    if not length:
        return None
    along = (watch.vectors @ change).double().numpy() / length
    if canaries.relation == "replace_one":  # in and out are twice as far apart as one from nothing
        return np.where(canaries.coins, 2 * along, -2 * along), len(change)
    return along[canaries.coins], len(change)
