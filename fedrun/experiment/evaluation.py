"""How good the models are: the global one on the test set, and the clients' own on their shares.

Rows are scored in blocks, and clients in chunks, by whoever is free. Both depend on the config
alone, so the figures are the same bits for any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, overload

import numpy as np
import torch

from fedrun.core.buffers import model_of
from fedrun.core.dataset import Array
from fedrun.core.federation import Job, Map, State, clients_of
from fedrun.core.measure import (
    BATCH,
    Scores,
    client_figures,
    global_figures,
    joined,
    named_figures,
    rows_of,
    score,
)
from fedrun.core.metric import evaluated
from fedrun.core.option import RunError
from fedrun.core.partition import Numbers, Ragged
from fedrun.core.plan import even_chunks
from fedrun.core.task import Examples
from fedrun.core.tree import Tree, expand, row
from fedrun.experiment.build import Experiment

BLOCKS = 8
FEW = 20


@dataclass(frozen=True)
class Block:
    """A job: score the global model on these rows, of the test set or of the training rows that
    clients hold who take part."""

    begin: int
    end: int
    training: bool = False


@dataclass(frozen=True)
class Own:
    """A job: score the own models of these clients on their shares of the test set.

    unseen: they never took part, and do so once before, without sending anything.
    """

    job: Job
    unseen: bool


@dataclass(frozen=True)
class Scored:
    """Scores on their way: of the global model on the test set and on the training rows, and of
    the clients' own ones in their order."""

    whole: Iterable[Scores] | None
    objective: Iterable[Scores] | None
    own: Iterable[Scores] | None


def open_crew(experiment: Experiment) -> AbstractContextManager[Map]:
    """Those who train this experiment's chunks and score its models."""

    def work(message: Tree, job: Any) -> Any:
        if isinstance(job, Block):
            return score_block(experiment, message, job)
        if isinstance(job, Own):
            return score_own(experiment, message, job)
        return experiment.protocol.chunk(message, job)

    return experiment.engine.open(work)


def hand_out(experiment: Experiment, state: State, crew: Map) -> Scored:
    """Have everything scored that this method is meant for; the parts come in order."""
    algorithm = experiment.federation.algorithm
    whole, objective, own = None, None, None
    if algorithm.has_global:
        whole = crew(model_of(state.server), blocks(len(experiment.test)))
    if experiment.settings.evaluate.objective:
        count = int(experiment.partition.train.sizes[experiment.seen].sum())
        objective = crew(model_of(state.server), blocks(count, training=True))
    if scores_own(experiment):
        own = crew(algorithm.message(state.server), OwnJobs(experiment, state))
    return Scored(whole, objective, own)


def evaluate(experiment: Experiment, state: State) -> dict[str, float]:
    """The figures, scored here and now."""
    return figures(experiment, state, score_here(experiment, state))


def score_here(experiment: Experiment, state: State) -> Scored:
    """Scores that are made one after the other, when they are asked for."""

    def here(message: Tree, jobs: Any, costs: Any = None) -> Iterator[Any]:
        return (
            score_own(experiment, message, job)
            if isinstance(job, Own)
            else score_block(experiment, message, job)
            for job in jobs
        )

    return hand_out(experiment, state, here)


def figures(experiment: Experiment, state: State, scored: Scored) -> dict[str, float]:
    """All that was scored, in figures; RunError where one is not finite."""
    figures: dict[str, float] = {}
    if scored.whole is not None:
        figures |= of_global(experiment, joined(scored.whole))
    if scored.objective is not None:
        figures |= global_figures(experiment.task, joined(scored.objective), "objective")
    if scored.own is not None:
        figures |= of_own(experiment, joined(scored.own))
    bad = next((name for name, value in figures.items() if not isfinite(value)), None)
    if bad:
        raise RunError(
            f"round {state.round}: {bad} is not finite, the model has diverged; "
            f"a smaller local.lr or server.lr, or local.clip_norm, may help"
        )
    return figures


def of_global(experiment: Experiment, scores: Scores) -> dict[str, float]:
    """The global model on the test set, as a whole and by the shares of those who take part, and
    on those of clients that never do and have no own model to be scored."""
    task, shares, seen = experiment.task, experiment.partition.test, experiment.seen
    all_seen = len(seen) == len(shares)
    figures = global_figures(task, scores)
    figures |= client_figures(task, scores, shares if all_seen else shares.only(seen))
    if names := few_names(experiment):
        figures |= named_figures(task, scores, shares, names)
    if not all_seen and not scores_own(experiment):
        figures |= of_clients(experiment, scores, shares.only(unseen(experiment)), "unseen")
    return figures


def of_own(experiment: Experiment, scores: Scores) -> dict[str, float]:
    """The clients' own models on their shares, and those of clients that never take part."""
    task, shares, seen = experiment.task, experiment.partition.test, experiment.seen
    held = places(shares, np.concatenate(scored_clients(experiment)))
    figures = of_clients(experiment, scores, held.only(seen), "personal")
    if names := few_names(experiment):
        figures |= named_figures(task, scores, held, names, "personal")
    if len(seen) < len(shares):
        figures |= of_clients(experiment, scores, held.only(unseen(experiment)), "unseen")
    return figures


def of_clients(
    experiment: Experiment, scores: Scores, shares: Ragged, prefix: str
) -> dict[str, float]:
    """Figures over the rows of these clients together, and over the clients."""
    if not len(shares.rows):
        return {}
    together = global_figures(experiment.task, rows_of(scores, shares.rows), prefix)
    return together | client_figures(experiment.task, scores, shares, prefix)


def measured(experiment: Experiment) -> list[str]:
    """The names of the figures that this experiment will have."""
    algorithm, holders = experiment.federation.algorithm, experiment.partition.test.holders
    names = few_names(experiment)
    return evaluated(
        experiment.task.has_accuracy,
        model=algorithm.has_global,
        objective=experiment.settings.evaluate.objective,
        personal=scores_own(experiment),
        unseen=len(experiment.seen) < len(experiment.partition),
        names=[names[client] for client in holders] if names else [],
    )


def scores_own(experiment: Experiment) -> bool:
    """Whether clients' own models are scored: not where that would tell what noise hides."""
    hidden = "personal/" in experiment.privacy.hidden
    return experiment.federation.algorithm.personal is not None and not hidden


def few_names(experiment: Experiment) -> Sequence[str]:
    """The names of clients whom the data name, such as hospitals, where they are few enough for a
    figure each."""
    names = experiment.partition.names
    return names if len(names) <= FEW and not isinstance(names, Numbers) else ()


def unseen(experiment: Experiment) -> Array:
    """int64, ascending: the clients that never take part."""
    return np.setdiff1d(np.arange(len(experiment.partition)), experiment.seen)


def blocks(count: int, *, training: bool = False) -> list[Block]:
    """At most `BLOCKS` blocks of whole batches."""
    size = BATCH * -(-count // (BATCH * BLOCKS))
    return [Block(at, min(at + size, count), training) for at in range(0, count, size)]


class OwnJobs(Sequence[Own]):
    """Clients that hold test rows in chunks, first those that take part, then the unseen ones. A
    job is made when it is asked for: only then are its clients' states read."""

    def __init__(self, experiment: Experiment, state: State) -> None:
        self.state = state
        size = experiment.federation.chunk_size
        self.chunks = [
            (clients, hidden)
            for hidden, group in enumerate(scored_clients(experiment))
            for clients in (even_chunks(group, size) if len(group) else [])
        ]

    def __len__(self) -> int:
        return len(self.chunks)

    @overload
    def __getitem__(self, index: int) -> Own: ...
    @overload
    def __getitem__(self, index: slice) -> list[Own]: ...
    def __getitem__(self, index: int | slice) -> Own | list[Own]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        clients, hidden = self.chunks[index]
        kept = self.state.bank.take(clients.tolist())
        return Own(Job(max(1, self.state.round), clients, kept), bool(hidden))


def scored_clients(experiment: Experiment) -> tuple[Array, Array]:
    """int64, ascending: the clients with test rows that take part, and those that never do."""
    holders = experiment.partition.test.holders
    hidden = np.isin(holders, unseen(experiment))
    return holders[~hidden], holders[hidden]


def places(shares: Ragged, order: Array) -> Ragged:
    """Where the test rows of each client stand, where the clients' come in this order."""
    starts = np.zeros(len(shares), np.int64)
    starts[order] = np.cumsum(shares.sizes[order]) - shares.sizes[order]
    shift = np.repeat(starts - shares.offsets[:-1], shares.sizes)
    return Ragged(np.arange(len(shares.rows)) + shift, shares.offsets)


def score_block(experiment: Experiment, model: Tree, block: Block) -> Scores:
    part = slice(block.begin, block.end)
    if block.training:
        rows = torch.from_numpy(held_rows(experiment)[part])
        examples = Examples(experiment.train.x[rows], experiment.train.y[rows])
    else:
        examples = Examples(experiment.test.x[part], experiment.test.y[part])
    return score(experiment.task, model, examples, experiment.engine.answer)


def held_rows(experiment: Experiment) -> Array:
    """int64: the training rows of the clients that take part, client by client."""
    return experiment.partition.train.only(experiment.seen).rows


def score_own(experiment: Experiment, message: Tree, own: Own) -> Scores:
    algorithm, test = experiment.federation.algorithm, experiment.test
    assert algorithm.personal
    clients = clients_of(experiment.federation, own.job)
    message_C = expand(message, len(own.job.clients))
    if own.unseen:
        clients = replace(clients, state=algorithm.client_update(clients, message_C).state)
    models = algorithm.personal(clients, message_C)
    parts = []
    for index, client in enumerate(own.job.clients):
        rows = experiment.partition.test[client]
        mine = Examples(test.x[rows], test.y[rows])
        parts.append(score(experiment.task, row(models, index), mine, experiment.engine.answer))
    return joined(parts)
