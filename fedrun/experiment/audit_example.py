"""The empirical audit of DP-SGD at the clients: what each client sends, held against what the worst
of them is said to lose.

Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023, white box
(algorithm 3): the score of a canary is the product of its gradient's direction at the model that a
round began with and of what its client has sent, added up over rounds.

Whoever guesses is the server, whom `privacy=example` does not trust: it sees every message and
knows every canary; it does not know the coins, nor which steps drew a canary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedrun.accounting import worst_bounds
from fedrun.core.dataset import Array, Dataset
from fedrun.core.federation import Done, Map, Protocol, State
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree
from fedrun.experiment.audit_result import MANY, Audit, Change, Told, held_against, planned
from fedrun.experiment.bind import bind
from fedrun.experiment.build import Experiment, Holdings, build_from, made
from fedrun.experiment.canary_example import (
    ExampleCanaries,
    Exposed,
    dealt,
    exposed,
    with_canaries,
    without,
)
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import rounds
from fedrun.experiment.spending import Spending

BATCH = 256


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


class Observer:
    """Who sees the messages that clients send, and looks for the canaries in them.

    seen: float64 [m], over all rounds, the products of each canary's direction with its client's
    step, times what a canary moves that sum by on average: so what one learns most from counts
    most.
    """

    def __init__(self, experiment: Experiment, clients: Exposed, canaries: ExampleCanaries) -> None:
        module = deepcopy(experiment.task.module).eval()  # the other one is trained meanwhile
        self.task, self.first = Task(module, experiment.task.spec), experiment.task.current()
        every = Examples.of(experiment.dataset.train, experiment.test.y.device)
        rows = torch.from_numpy(canaries.rows).to(every.y.device)
        self.examples = Examples(every.x[rows], every.y[rows])
        self.own, self.seen = experiment.privacy.own, np.zeros(len(canaries.rows))
        owner = clients.clients[canaries.place]
        held, hidden = experiment.partition.train, np.isin(np.arange(len(every.y)), canaries.rows)
        self.others = {
            int(k): [
                Examples(every.x[rows], every.y[rows])
                for rows in alike(experiment.dataset, held[k][~hidden[held[k]]])
            ]
            for k in np.unique(owner)
        }
        self.places = {int(k): np.flatnonzero(owner == k) for k in np.unique(owner)}

    def beside(self, crew: Map) -> Map:
        """The crew, with every message looked at."""

        def watched(
            message: Tree, jobs: Sequence[Any], costs: Sequence[float] | None = None
        ) -> Iterator[Any]:
            return self.looking(message, jobs, crew(message, jobs, costs))

        return watched

    def looking(self, message: Tree, jobs: Sequence[Any], results: Iterator[Any]) -> Iterator[Any]:
        for job, done in zip(jobs, results, strict=True):
            if isinstance(done, Done) and done.ok[0]:
                self.look(message, int(job.clients[0]), done)
            yield done

    def look(self, message: Tree, client: int, done: Done) -> None:
        """What one client sends, which is all of its chunk."""
        assert self.own
        assert done.sent
        weight = done.sent.weight.sum()
        update = done.sent.update.get("model", done.sent.update)
        model = self.model(message)
        names = [name for name in model if name in update]
        step = torch.cat([(update[name] / weight).double().reshape(-1) for name in names])
        examples, steps = (int(done.measures[name][0]) for name in ("examples", "noised_steps"))
        drawn = self.own(examples, steps)[0].sampling
        # A step is a sum over the mean size of a batch: the sum has noise of one size everywhere.
        step *= -drawn.cohort * drawn.rate
        if client not in self.places:
            return
        known = [self.gradient(model, names, group) for group in self.others[client]]
        if known:
            basis = torch.linalg.qr(torch.stack(known, 1))[0]
            step -= basis @ (basis.T @ step)
        for place in self.places[client].tolist():
            one = slice(place, place + 1)
            canary = Examples(self.examples.x[one], self.examples.y[one])
            direction = self.gradient(model, names, canary)
            if known:
                direction -= basis @ (basis.T @ direction)
            length = float(torch.linalg.vector_norm(direction))
            if 0 < length < float("inf"):
                self.seen[place] += float(direction @ step) / length

    def model(self, told: Tree) -> Tree:
        """The global model of a message or a state; what clients keep to themselves is as first."""
        known = told.get("model", Tree())
        return Tree((name, known.get(name, leaf)) for name, leaf in self.first.items())

    def gradient(self, model: Tree, names: list[str], of: Examples) -> Tensor:
        """float64 [D]: of the summed loss of these examples."""
        free = [model[name].detach().clone().requires_grad_() for name in names]
        with torch.enable_grad():
            params = Tree(model, **dict(zip(names, free, strict=True)))
            loss = self.task.loss(self.task.outputs(params, of.x), of.y).sum()
        parts = torch.autograd.grad(loss, free, materialize_grads=True)
        return torch.cat([part.double().reshape(-1) for part in parts])

    def losses(self, state: State) -> Array:
        """float64 [m]: each canary's loss under the global model."""
        model, found = self.model(state.server), []
        with torch.no_grad():
            for x, y in zip(
                self.examples.x.split(BATCH), self.examples.y.split(BATCH), strict=True
            ):
                found.append(self.task.loss(self.task.outputs(model, x), y).double().cpu())
        return np.asarray(torch.cat(found).numpy())


def alike(dataset: Dataset, rows: Array) -> list[Tensor]:
    """Rows by class, where examples have one."""
    label = dataset.train.y[rows] if dataset.spec.labelled else np.zeros(len(rows), np.int64)
    return [torch.from_numpy(rows[label == one]) for one in np.unique(label)]
