"""Canaries among the examples: each takes the place of one of a client's own, by a fair coin.

A canary's input is a corner of the box that the data lie in, far from all that they hold, and its
target is drawn at random: its gradient is long, so that it is clipped, and points where few others
do. It takes the place of an example, so sizes, chances and steps, which are public, are those of
the config, and so is the claim. Wherever the coins of a step draw a canary that is out, it is taken
from the batch again: the batch is then that of a client that does not have it, and nothing else
tells of it.

They are dealt to the clients that lose the most by the config's own account, who bound the claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fedrun.core.dataset import Array, Dataset, Spec, Split
from fedrun.core.federation import Federation, Solver
from fedrun.core.option import ConfigError
from fedrun.core.plan import ChunkPlan
from fedrun.core.privacy import Event, PrivateSteps, Stream, Streams
from fedrun.experiment.build import Experiment
from fedrun.experiment.forecast import Account

SHARE = 2  # one of so many of a client's examples may be a canary
MOST = 2**27  # numbers in the gradients of a client's canaries: 0.5 GiB
AS_MUCH = 0.9  # of the worst client's loss is as bad


@dataclass(frozen=True)
class Exposed:
    """Clients that take part, by what they lose, most first; all are arrays [clients].

    clients, examples, steps: int64, steps are those of a round; times: rounds that each is there;
    events: what a step costs each; parameters: of the model.
    """

    clients: Array
    examples: Array
    steps: Array
    times: Array
    events: list[Event]
    parameters: int

    @property
    def accounts(self) -> list[Account]:
        """Of each kind of client, if all goes as planned."""
        releases = (self.steps * self.times).tolist()
        kinds = dict.fromkeys(zip(self.events, releases, strict=True))
        return [[kind] for kind in kinds]

    @cached_property
    def rates(self) -> Array:
        return np.array([event.sampling.rate for event in self.events])

    @cached_property
    def dues(self) -> Array:
        """What each loses, in proportion."""
        return np.asarray(self.rates * np.sqrt(self.steps * self.times))

    @property
    def room(self) -> Array:
        """int64: how many canaries each may hold."""
        most = max(1, MOST // self.parameters)
        return np.asarray(np.clip(self.examples // SHARE, 1, most))


def exposed(experiment: Experiment) -> Exposed:
    """Who takes part is public, and known before anything runs."""
    own, federation = experiment.privacy.own, experiment.federation
    assert own
    times = np.zeros(len(experiment.partition), np.int64)
    for round in range(1, experiment.settings.rounds + 1):
        times[federation.cohort(round)] += 1
    clients = np.flatnonzero(times)
    examples = federation.held.sizes[clients]
    steps = federation.work.num_steps(examples)
    events = [own(n, s)[0] for n, s in zip(examples.tolist(), steps.tolist(), strict=True)]
    size = sum(leaf.numel() for leaf in experiment.task.current().leaves())
    found = Exposed(clients, examples, steps, times[clients], events, size)
    order = np.argsort(-found.dues, kind="stable")
    ranked = clients[order], examples[order], steps[order], times[clients][order]
    return Exposed(*ranked, [events[place] for place in order], size)


@dataclass(frozen=True)
class ExampleCanaries:
    """m canaries of one audit. place: int64 [m], whose, in the order of `Exposed`; rows: int64 [m],
    ascending for a client, the training rows whose place they take."""

    place: Array
    rows: Array
    coins: Array

    def chance(self, clients: Exposed) -> float:
        """That a canary is ever drawn, on average."""
        releases = clients.steps * clients.times
        ever = 1 - (1 - clients.rates) ** releases
        return float(ever[self.place].mean())


def dealt(experiment: Experiment, clients: Exposed, number: int) -> ExampleCanaries:
    """So many canaries to the worst clients, one after the other, in turns."""
    room, dues, held = clients.room, clients.dues, experiment.federation.held
    ends = np.cumsum(room)
    if number > ends[-1]:
        raise ConfigError(
            f"--canaries={number}: canaries take the place of at most half of a client's examples, "
            f"and their gradients must fit the memory; {ends[-1]} is the most"
        )
    hosts = max(int(np.searchsorted(ends, number)) + 1, int((dues >= AS_MUCH * dues[0]).sum()))
    place = np.repeat(np.arange(hosts), room[:hosts])
    turn = np.concatenate([np.arange(count) for count in room[:hosts]])
    first = np.sort(np.argsort(turn, kind="stable")[:number])
    rows = [held[clients.clients[p]][t] for p, t in zip(place[first], turn[first], strict=True)]
    streams = experiment.privacy.streams
    assert streams
    coins = np.asarray(streams("canary", 0, 0).uniform(number) < 0.5)
    return ExampleCanaries(place[first], np.array(rows), coins)


def with_canaries(dataset: Dataset, canaries: ExampleCanaries, streams: Streams) -> Dataset:
    """The data with canaries in the place of examples, whether they are in or out."""
    x, y = dataset.train.x.copy(), dataset.train.y.copy()
    number, spec = len(canaries.rows), dataset.spec
    x[canaries.rows] = inputs(streams("canary", 0, 1), spec, dataset.train.x, number)
    y[canaries.rows] = targets(streams("canary", 0, 2), spec, dataset.train.y, number)
    return replace(dataset, train=Split(x, y, dataset.train.client))


def inputs(stream: Stream, spec: Spec, data: Array, number: int) -> Array:
    """Random signs times the largest number of the data, or random tokens."""
    coins = stream.uniform(number * int(np.prod(spec.input_shape)))
    coins = coins.reshape(number, *spec.input_shape)
    if spec.vocabulary is not None:
        return one_of(spec.vocabulary, coins)
    return signs(coins, data)


def targets(stream: Stream, spec: Spec, data: Array, number: int) -> Array:
    """Random classes, tokens, or signs times the largest target."""
    coins = stream.uniform(number * int(np.prod(spec.target_shape)))
    coins = coins.reshape(number, *spec.target_shape)
    if spec.kind == "number":
        return signs(coins, data)
    return one_of(max(2, spec.outputs), coins)


def one_of(many: int, coins: Array) -> Array:
    return np.asarray(np.floor(coins * many).astype(np.int64))


def signs(coins: Array, data: Array) -> Array:
    return np.asarray(np.where(coins < 0.5, -1, 1) * np.abs(data).max(), np.float32)


def without(federation: Federation, canaries: ExampleCanaries, rows: int) -> Federation:
    """The federation whose batches lack the canaries that are out. rows: of the training data."""
    out = np.zeros(rows, bool)
    out[canaries.rows[~canaries.coins]] = True
    general = federation.general

    def private(steps: PrivateSteps) -> Callable[[ChunkPlan], Solver]:
        solver = general.private(steps)

        def solve(plan: ChunkPlan) -> Solver:
            return solver(lacking(plan, out))

        return solve

    return replace(federation, general=replace(general, private=private))


def lacking(plan: ChunkPlan, out: Array) -> ChunkPlan:
    """The plan without the rows that are out (bool [rows]); the mean sizes of batches stay."""
    stays = ~out[plan.rows]
    before = np.concatenate([[0], np.cumsum(stays)])
    return replace(plan, begin=before[plan.begin], end=before[plan.end], rows=plan.rows[stays])
