"""How many noised steps a method takes of a client's data in a round, found without training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedrun.core.algorithm import Trained
from fedrun.core.federation import Federation, Job, State, clients_of
from fedrun.core.option import ConfigError
from fedrun.core.plan import Work
from fedrun.core.tree import Tree, expand


def noised_steps(federation: Federation, state: State, client: int) -> int:
    """Of all solves of one round together: the method is asked for its update with solves that
    only count, and end where they started."""
    numbers, taken = np.array([client], np.int64), 0
    clients = clients_of(federation, Job(1, numbers, state.bank.take([client])))

    def count(start: Tree, *, work: Work | None = None, **options: Any) -> Trained:
        nonlocal taken
        steps = (work or federation.work).num_steps(federation.held.sizes[numbers])
        taken += int(steps[0])
        nothing = torch.zeros(1, 3, dtype=torch.float64)
        return Trained(start, torch.from_numpy(steps), nothing, lambda steps: steps.double())

    message = expand(federation.algorithm.message(state.server), 1)
    federation.algorithm.client_update(replace(clients, solve=count), message)
    return taken


def refuse_target(federation: Federation, state: State, client: int, method: str) -> None:
    """A target that was reckoned for the local steps is missed by a method that takes more."""
    known = int(federation.work.num_steps(federation.held.sizes[[client]])[0])
    taken = noised_steps(federation, state, client)
    if taken > known:
        raise ConfigError(
            f"privacy.target_epsilon is reckoned for the {known} steps of local, and {method} "
            f"takes {taken} in a round; give privacy.noise_multiplier (fedrun budget tells its "
            f"epsilon)"
        )
