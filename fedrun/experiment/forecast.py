"""What a config would spend, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrun.core.privacy import Claim, Event
from fedrun.experiment.build import Experiment, build
from fedrun.experiment.counting import noised_steps

Account = list[tuple[Event, int]]


@dataclass(frozen=True)
class Forecast:
    """The releases of a whole run; `claim` is None where nothing is protected.

    accounts: one that everybody shares; or one for each kind of client that has an account of its
        own, of which the worst is claimed, as if it took part in every round.
    simulated: that of the larger federation that is simulated; parameters: numbers in the model.
    """

    claim: Claim | None
    accounts: list[Account]
    simulated: Account | None
    rounds: int
    parameters: int


def forecast(values: Mapping[str, Any]) -> Forecast:
    """Of a composed config; builds the federation, so that whatever would be refused is refused."""
    experiment = build(values)
    privacy, rounds = experiment.privacy, experiment.settings.rounds
    parameters = sum(leaf.numel() for leaf in experiment.task.current().leaves())
    accounts: list[Account] = []
    if privacy.event is not None:
        accounts = [[(privacy.event, rounds)]]
    elif privacy.own is not None:
        accounts = own_accounts(experiment)
    if privacy.once is not None:
        accounts = [[(privacy.once, 1), *account] for account in accounts or [[]]]
    larger: Account | None = None
    if privacy.simulated is not None:
        larger = [(privacy.simulated, rounds)]
    return Forecast(privacy.claim, accounts, larger, rounds, parameters)


def own_accounts(experiment: Experiment) -> list[Account]:
    """What each kind of client spends that takes part in every round."""
    own, sizes = experiment.privacy.own, experiment.federation.held.sizes[experiment.seen]
    assert own is not None
    kinds = set()
    for first in np.unique(sizes, return_index=True)[1]:
        client = int(experiment.seen[first])
        steps = noised_steps(experiment.federation, experiment.state, client)
        event, count = own(int(sizes[first]), steps)
        kinds.add((event, count * experiment.settings.rounds))
    return [[kind] for kind in sorted(kinds, key=repr)]
