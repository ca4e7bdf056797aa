"""The empirical audit of DP-SGD at the clients: what each client sends, held against what the worst
of them is said to lose.

Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023, white box
(algorithm 3). Whoever guesses is the server, whom `privacy=example` does not trust: it sees every
message and knows every example and canary; it does not know the coins, nor which steps drew a
canary (`observer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fedrun.accounting import worst_bounds
from fedrun.core.federation import Protocol, State
from fedrun.experiment.audit_result import MANY, Audit, Change, Told, held_against, planned
from fedrun.experiment.bind import bind, made
from fedrun.experiment.build import Experiment, Holdings, build_from
from fedrun.experiment.canary_example import (
    ExampleCanaries,
    dealt,
    exposed,
    with_canaries,
    without,
)
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import rounds
from fedrun.experiment.observer import Observer
from fedrun.experiment.spending import Spending


def of_examples(
    values: Mapping[str, Any],
    held: Holdings,
    honest: Experiment,
    number: int | None,
    change: Change,
    told: Told,
) -> Audit:
    """Train with so many canaries among the examples and guess who of them was in.

    number: null: 1,000, or as many as there is room for.
    """
    claim, streams = honest.privacy.claim, honest.privacy.streams
    assert claim
    assert streams
    clients = exposed(honest)
    number = number or min(MANY, int(clients.room.sum()))
    canaries = dealt(honest, clients, number)
    expected = worst_bounds(clients.accounts, claim.delta, claim.relation)[1][0].epsilon
    plan = planned(number, expected, claim.delta, canaries.chance(clients))

    dataset = with_canaries(held.dataset, canaries, streams)
    experiment = build_from(values, replace(held, dataset=dataset))
    observer, spending = Observer(experiment, clients, canaries), Spending(honest.privacy)
    last = trained(change(experiment), canaries, observer, spending, values, told)
    losses = observer.losses(experiment.state) - observer.losses(last)
    claimed = worst_bounds(spending.accounts(), claim.delta, claim.relation)[1][0].epsilon
    return held_against(honest, plan, claimed, observer.seen, canaries.coins, losses=losses)


def trained(
    experiment: Experiment,
    canaries: ExampleCanaries,
    observer: Observer,
    spending: Spending,
    values: Mapping[str, Any],
    told: Told,
) -> State:
    """The state after the last round; the observer has seen every message."""
    # Of a chunk the server would see the sum alone; nobody promises it to be no smaller than this.
    federation = replace(experiment.federation, chunk_size=1)
    federation = without(federation, canaries, len(experiment.dataset.train))
    protocol = made(bind("protocol", values["protocol"]), Protocol, federation=federation)
    experiment = replace(experiment, federation=federation, protocol=protocol)
    state = experiment.state
    with open_crew(experiment) as crew:
        for event in rounds(experiment, state, [], observer.beside(crew), spending.charge):
            state = event.state
            told(state.round, experiment.settings.rounds)
    return state
