"""The synchronous round: everybody in the cohort trains from the same model, and is waited for.

McMahan et al. 2017, algorithm 1; the communication pattern of every method with a central server.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedrun.core import chain
from fedrun.core.algorithm import Clients, Round
from fedrun.core.bank import Part
from fedrun.core.dataset import Array
from fedrun.core.federation import Done, Federation, Finish, Job, Map, Protocol, State
from fedrun.core.plan import chunk_plan, even_chunks
from fedrun.core.record import Column, Record, Rows
from fedrun.core.tree import Tree, expand, num_bytes, squared_norm


def synchronous(federation: Federation) -> Protocol:
    """One cohort a round; the server steps when all of it has answered."""
    algorithm, held = federation.algorithm, federation.held

    def chunk(message: Tree, job: Job) -> Done:
        clients = job.clients
        plan = chunk_plan(held, federation.work, federation.seed, job.round, clients)
        examples = torch.from_numpy(held.sizes[clients]).float()
        solve = federation.solver(plan)
        reply = algorithm.client_update(
            Clients(examples, job.state, solve), expand(message, len(clients))
        )
        model, rest = model_and_rest(reply.update)
        squares = squared_norm(model)
        ok = (squares + squared_norm(rest) if rest else squares).isfinite().cpu()
        sent = chain.encode(
            federation.chain, chain.drop(chain.Packets(reply.update, reply.weight), ok)
        )
        trained = reply.trained
        measures = {
            "examples": held.sizes[clients],
            "steps": trained.steps.numpy(),
            "sums": trained.sums.numpy(),
            "norm": squares.sqrt().cpu().numpy(),
        }
        packet_bytes = num_bytes(sent.update) // len(clients)
        return Done(chain.total(sent), reply.state, ok.numpy(), measures, packet_bytes)

    def start(state: State, crew: Map) -> Finish:
        number = state.round + 1
        cohort = federation.cohort(number)
        chunks = even_chunks(cohort, federation.chunk_size)
        message = algorithm.message(state.server)
        jobs = [Job(number, clients, state.bank.take(clients.tolist())) for clients in chunks]
        costs = [float(held.sizes[clients].sum()) for clients in chunks]
        results = crew(message, jobs, costs)

        def finish() -> tuple[State, Record]:
            done: list[Done] = []
            total: chain.Total | None = None
            for part in results:  # added up in their order while others are still worked on
                total = part.total if total is None else chain.add(total, part.total)
                done.append(replace(part, total=None))
            accepted = sum(int(part.ok.sum()) for part in done)
            server = state.server
            if accepted and total:
                mean = chain.decode(federation.chain, total).update
                facts = Round(state.round, accepted, len(held))
                server = algorithm.server_update(server, mean, facts)
            down = num_bytes(message)
            renewed = replace(
                state,
                round=number,
                server=server,
                bank=state.bank.put_all(list(kept(jobs, done))),
                up_bytes=state.up_bytes + sum(p.packet_bytes * len(p.ok) for p in done),
                down_bytes=state.down_bytes + down * len(cohort),
            )
            return renewed, record(renewed, cohort, done, down)

        return finish

    return Protocol(chunk, start)


def model_and_rest(update: Tree) -> tuple[Tree, Tree]:
    """The update of the model, whose length is recorded, and what else is sent with it."""
    model = update.get("model", update)
    rest = Tree((name, part) for name, part in update.items() if part is not model)
    return model, Tree() if model is update else rest


def kept(jobs: Sequence[Job], done: Sequence[Done]) -> Iterator[Part]:
    """The clients of each chunk that were accepted, and the Tree_C of the states that they keep."""
    for job, part in zip(jobs, done, strict=True):
        ok = torch.from_numpy(part.ok)
        state = part.state if ok.all() else part.state.map(operator.itemgetter(ok))
        yield job.clients[part.ok].tolist(), state


def record(state: State, cohort: Array, done: Sequence[Done], down_bytes: int) -> Record:
    """The round's metrics and one row per client, in client order.

    `train/loss` and `train/accuracy` are means over every example of every local step of the
    accepted clients, measured just before the step. Figures that are not finite are left out: a
    rejected client's, or the mean of squared errors beyond float32 (their gradients may be finite
    still).
    """
    figures = {
        name: np.concatenate([part.measures[name] for part in done]) for name in done[0].measures
    }
    ok = np.concatenate([part.ok for part in done])
    losses, _, examples = figures["sums"].T
    count = len(ok)
    up_bytes = [part.packet_bytes for part in done for _ in part.ok]
    rows: dict[str, Column] = {
        "round": [state.round] * count,
        "client": cohort.tolist(),
        "examples": figures["examples"].tolist(),
        "steps": figures["steps"].tolist(),
        "train/loss": finite(losses / np.maximum(examples, 1.0)),
        "update_norm": finite(figures["norm"]),
        "clipped": [False] * count,
        "up_bytes": up_bytes,
        "down_bytes": [down_bytes] * count,
        "sim_seconds": [0.0] * count,
        "status": ["ok" if accepted else "rejected" for accepted in ok.tolist()],
    }
    loss, correct, seen = figures["sums"][ok].sum(0).tolist()
    metrics: dict[str, Any] = {
        "clients/ok": int(ok.sum()),
        "clients/rejected": count - int(ok.sum()),
        "comm/up_bytes": state.up_bytes,
        "comm/down_bytes": state.down_bytes,
    }
    if seen:
        trained = {"train/loss": loss / seen, "train/accuracy": correct / seen}
        metrics = {n: value for n, value in trained.items() if np.isfinite(value)} | metrics
    return Record(metrics, Rows(rows), int(seen))


def finite(values: Array) -> Column:
    """The numbers, None in the place of those that are none."""
    column: Column = values.tolist()
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        column[index] = None
    return column
