"""A client's own model, where the method gives it one: made of the newest state, as for scoring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fedrun.core.federation import Job, clients_of
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree, expand, row
from fedrun.experiment.build import Experiment
from fedrun.experiment.saved import fitting, last_state


def own_model(run: Path, experiment: Experiment, client: str) -> tuple[Tree, str]:
    """The model that a client uses itself after the last round, and words that say so."""
    algorithm, number = experiment.federation.algorithm, numbered(experiment, client)
    if algorithm.personal is None:
        raise ConfigError(
            f"--client {client}: this run's algorithm gives all clients one model; leave it out"
        )
    if "personal/" in experiment.privacy.hidden:
        raise ConfigError(
            f"--client {client}: clients' own models would tell what this run's noise hides"
        )
    with last_state(run, experiment) as state:
        alone = np.array([number])
        job = Job(max(1, state.round), alone, state.bank.take([number]))
        clients = clients_of(experiment.federation, job)
        message_C = expand(algorithm.message(state.server), 1)
        if number not in experiment.seen:  # takes part once, and sends nothing
            clients = replace(clients, state=algorithm.client_update(clients, message_C).state)
        found = row(algorithm.personal(clients, message_C), 0)
    name = experiment.partition.names[number]
    return fitting(run, experiment, found), f"client {name}'s own model after round {state.round}"


def numbered(experiment: Experiment, client: str) -> int:
    """A client by its name, or its number."""
    names = experiment.partition.names
    if client in names:
        return list(names).index(client)
    if client.isdecimal() and int(client) < len(names):
        return int(client)
    known = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    raise ConfigError(f"--client {client} is none of {len(names)} clients ({known})")
