"""What a config would spend, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrun.core.privacy import Claim, Event
from fedrun.experiment.build import Experiment, build

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
    own, federation = experiment.privacy.own, experiment.federation
    assert own is not None
    sizes = np.unique(federation.held.sizes[experiment.seen])
    steps = federation.work.num_steps(sizes)
    each = [own(int(size), int(many)) for size, many in zip(sizes, steps, strict=True)]
    kinds = {(event, count * experiment.settings.rounds) for event, count in each}
    return [[kind] for kind in kinds]
