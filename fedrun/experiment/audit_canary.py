"""The empirical audit of a config: its federation is trained with canaries, and what is released
is held against what is claimed.

Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (the bound).
Andrew et al., "One-shot empirical privacy estimation for federated learning", ICLR 2024 (the
canaries, and the estimate).

Whoever guesses sees every release and knows every direction; it does not know the coins, nor in
which rounds a canary was drawn, because amplification by sampling rests on that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Literal

import numpy as np
import torch

from fedrun.core.chain import init
from fedrun.core.dataset import Array
from fedrun.core.federation import Protocol, State
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Event
from fedrun.experiment.bind import bind
from fedrun.experiment.build import Experiment, build, made
from fedrun.experiment.canary import Canaries, Directions, flat, released_into, watched
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import rounds

CONFIDENCE = 0.95
MANY = 1000
ALL_BUT = 0.95


@dataclass(frozen=True)
class Audit:
    """What was measured, and what is claimed.

    measured: a lower bound on epsilon, at `confidence`; most: the largest one that so many guesses
    could have shown; gaussian: the bound if the mechanism is Gaussian, which is an assumption;
    estimate: one-shot, no bound, None where the update is not that of the model alone.
    """

    unit: str
    canaries: int
    inside: int
    guesses: int
    right: int
    confidence: float
    measured: float
    most: float
    claimed: float
    delta: float
    relation: str
    gaussian: float
    estimate: float | None
    rounds: int
    seeded: bool

    @property
    def verdict(self) -> Literal["consistent", "violated"]:
        return "violated" if self.measured > self.claimed else "consistent"

    def to_json(self) -> dict[str, Any]:
        finite = {
            name: None if isinstance(value, float) and value == float("inf") else value
            for name, value in asdict(self).items()
        }
        return {**finite, "verdict": self.verdict}


def audit(
    values: Mapping[str, Any],
    number: int | None = None,
    change: Callable[[Experiment], Experiment] = lambda experiment: experiment,
    told: Callable[[int, int], None] = lambda round, of: None,
) -> Audit:
    """Train with so many canaries and guess who of them was in.

    number: null: 1,000, or as many as the model has parameters, if these are fewer: beyond that
    canaries hide one another.
    change: what is audited in the place of the federation that the config describes; the claim
    stays the config's. told: (round, of so many), after each.
    """
    from fedrun.accounting import bounds, empirical

    values = {**values, "evaluate": {"every": 0}, "stop": dict.fromkeys(values["stop"])}
    honest = build(values)
    refuse(values, honest)
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
    if not isfinite(claimed):
        raise ConfigError(
            f"privacy={values['privacy']['name']} without noise claims no epsilon, and so there is "
            f"nothing to refute; set privacy.noise_multiplier"
        )
    chance = canaries.chance(settings.rounds)
    # Who was never drawn looks like one who is out: then nobody is taken for being out.
    sides = 1 if chance < ALL_BUT else 2
    plan = number, claimed, claim.delta, CONFIDENCE, sides, chance
    guesses = empirical.planned_guesses(*plan)

    place = list(honest.federation.chain).index(privacy.layer)
    last, seen = trained(change(honest), place, canaries, watch, values, told)
    right = empirical.right_guesses(seen, canaries.coins, guesses, sides)
    moved = cosines(honest.state, last, canaries, watch)
    found = number, claim.delta, CONFIDENCE
    return Audit(
        unit=claim.unit,
        canaries=number,
        inside=int(canaries.coins.sum()),
        guesses=guesses,
        right=right,
        confidence=CONFIDENCE,
        measured=empirical.one_run(guesses, right, *found),
        most=empirical.one_run(guesses, guesses, *found),
        claimed=claimed,
        delta=claim.delta,
        relation=claim.relation,
        gaussian=empirical.gaussian_one_run(guesses, right, *found),
        estimate=None if moved is None else empirical.one_shot(*moved, claim.delta),
        rounds=settings.rounds,
        seeded=privacy.repeats,
    )


def refuse(values: Mapping[str, Any], experiment: Experiment) -> None:
    """A `ConfigError` where canaries would show nothing."""
    privacy, choice = experiment.privacy, f"privacy={values['privacy']['name']}"
    if privacy.claim is None:
        raise ConfigError(
            f"{choice} claims nothing, and so there is nothing to audit; choose a mechanism, such "
            f"as privacy=central"
        )
    if privacy.layer is None or privacy.event is None:
        raise ConfigError(
            f"{choice} keeps an account for each client, and canaries are clients whose sum is "
            f"noised; audit a mechanism such as privacy=central"
        )


def trained(
    experiment: Experiment,
    place: int,
    canaries: Canaries,
    watch: Directions,
    values: Mapping[str, Any],
    told: Callable[[int, int], None],
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
