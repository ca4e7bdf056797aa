"""The synchronous round: everybody in the cohort trains from the same model, and is waited for.

McMahan et al. 2017, algorithm 1; the communication pattern of every method with a central server.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from fedrun.core import chain
from fedrun.core.algorithm import Round
from fedrun.core.bank import Bank, Part
from fedrun.core.dataset import Array
from fedrun.core.federation import (
    Done,
    Federation,
    Finish,
    Job,
    Map,
    Protocol,
    State,
    clients_of,
)
from fedrun.core.plan import even_chunks
from fedrun.core.private_clients import private_clients
from fedrun.core.record import Record
from fedrun.core.tree import Tree, expand, num_bytes, squared_norm
from fedrun.protocol._record import nothing_done, record, with_slow


def synchronous(federation: Federation) -> Protocol:
    """One cohort a round; the server steps when all of it has answered."""
    algorithm, held = federation.algorithm, federation.held

    def start(state: State, crew: Map) -> Finish:
        number = state.round + 1
        cohort = federation.cohort(number)
        epochs = federation.system.epochs and federation.system.epochs(number, cohort)
        there = cohort if epochs is None else cohort[epochs > 0]
        message = algorithm.message(state.server)
        if words := chain.told(federation.chain, state.channel):
            message = Tree(message, channel=words)
        jobs = list(jobs_of(federation, state.bank, number, there, epochs))
        costs = [float(held.sizes[job.clients].sum()) for job in jobs]
        surveys = [replace(job, survey=True) for job in jobs] if algorithm.survey else []
        results = crew(message, surveys or jobs, costs)

        def finish() -> tuple[State, Record]:
            server_side = chain.Context(number, there[:0])
            done, total = collected(results, federation.owed)
            down, up, first = num_bytes(message), 0, Tree()
            if surveys and total:
                answers, _ = chain.decode(federation.chain, total, state.channel, server_side)
                first = Tree(survey=answers.update)
                down, up = down + num_bytes(first), done[0].packet_bytes
                done, total = collected(crew(Tree(message, **first), jobs, costs))
            server, channel = state.server, state.channel
            if total:
                facts = round_facts(federation, state.round, jobs, done, total)
                if isinstance(total, chain.Total):
                    total, channel = chain.decode(federation.chain, total, channel, server_side)
                server = algorithm.server_update(server, Tree(total.update, **first), facts)
            came = [replace(part, packet_bytes=part.packet_bytes + up) for part in done]
            if not len(there):
                came = []  # only somebody who stood in
            up_bytes, down_bytes = traffic(federation, len(cohort), done, came, down)
            renewed = replace(
                state,
                round=number,
                server=server,
                bank=state.bank.put_all(list(kept(jobs, done))),
                channel=channel,
                up_bytes=state.up_bytes + up_bytes,
                down_bytes=state.down_bytes + down_bytes,
            )
            line = record(renewed, there, came, down)
            if epochs is not None:
                line = with_slow(line, renewed.round, cohort, epochs, federation.work.epochs, down)
            return renewed, line

        return finish

    return Protocol(partial(chunk, federation), start)


def chunk(federation: Federation, message: Tree, job: Job) -> Done:
    """What the clients of a job do."""
    algorithm, held = federation.algorithm, federation.held
    said = Tree((name, part) for name, part in message.items() if name != "channel")
    clients, message_C = clients_of(federation, job), expand(said, len(job.clients))
    measures = {"examples": held.sizes[job.clients]}
    if federation.steps:
        clients, measures["noised_steps"] = private_clients(clients, federation, job)
    if job.survey:
        assert algorithm.survey
        survey = algorithm.survey(clients, message_C)
        update, weight, state, noted = survey.update, survey.weight, Tree(), Tree()
        measures |= nothing_done(len(job.clients))
    else:
        reply = algorithm.client_update(clients, message_C)
        update, weight, state, noted = reply.update, reply.weight, reply.state, reply.noted
        measures["steps"] = reply.trained.steps.numpy()
        measures["sums"] = reply.trained.sums.numpy()
    model, rest = model_and_rest(update)
    squares = squared_norm(model) if model else torch.zeros(len(job.clients))
    ok = (squares + squared_norm(rest) if rest else squares).isfinite().cpu()
    if job.nobody:
        ok = torch.zeros_like(ok)
    if not job.survey:
        measures["norm"] = squares.sqrt().cpu().numpy()
    packets = chain.drop(chain.Packets(update, weight), ok)
    words, context = message.get("channel", Tree()), chain.Context(job.round, job.clients)
    packets = chain.encode(federation.chain, packets, words, context)
    if packets.clipped is not None:
        measures["clipped"] = packets.clipped.numpy()
    packet_bytes = num_bytes(packets.update) // len(job.clients)
    each = algorithm.needs == "each" and not job.survey
    heard = ok if federation.owed else ok | (packets.weight.cpu() > 0)
    sent = chain.kept(packets, heard) if each else chain.total(packets)
    rows = {name: column.cpu().numpy() for name, column in noted.items()}
    return Done(sent, state, ok.numpy(), heard.numpy(), measures, packet_bytes, rows)


def jobs_of(
    federation: Federation, bank: Bank, round: int, there: Array, epochs: Array | None
) -> Iterator[Job]:
    """The chunks of those who train, with what each of them gets done."""
    done = None if epochs is None else epochs[epochs > 0]
    if len(there):
        for part in even_chunks(np.arange(len(there)), federation.chunk_size):
            clients = there[part]
            state = bank.take(clients.tolist())
            yield Job(round, clients, state, None if done is None else done[part])
    elif federation.owed:
        nobody = np.zeros(1, np.int64)
        yield Job(round, nobody, bank.take([0]), nobody=True)


def traffic(
    federation: Federation, cohort: int, done: Sequence[Done], came: Sequence[Done], down: int
) -> tuple[int, int]:
    """Bytes up and down in a round; as on average, where it is secret who came."""
    if federation.owed:
        size = federation.cohort_size
        return round(size * done[0].packet_bytes), round(size * down)
    return sum(part.packet_bytes * len(part.ok) for part in came), down * cohort


def round_facts(
    federation: Federation,
    t: int,
    jobs: Sequence[Job],
    done: Sequence[Done],
    total: chain.Total | chain.Packets,
) -> Round:
    """What the server's rule may know of the round."""
    if federation.owed:
        nobody = torch.empty(0, dtype=torch.int64)
        return Round(t, federation.cohort_size, federation.population, nobody, None)
    accepted = [job.clients[part.heard] for job, part in zip(jobs, done, strict=True)]
    numbers = torch.from_numpy(np.concatenate(accepted))
    weight = total.weight if isinstance(total, chain.Packets) else None
    return Round(t, len(numbers), federation.population, numbers, weight)


def collected(
    parts: Iterator[Done], owed: bool = False
) -> tuple[list[Done], chain.Total | chain.Packets | None]:
    """The parts without what was sent, and that added up in their order, while others are still
    worked on; None where nobody was accepted, unless a release is owed all the same."""
    done: list[Done] = []
    total: Any = None
    for part in parts:
        total = part.sent if total is None else chain.add(total, part.sent)
        done.append(replace(part, sent=None))
    return done, total if owed or any(part.heard.any() for part in done) else None


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
