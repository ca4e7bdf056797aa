"""The synchronous round: everybody in the cohort trains from the same model, and is waited for.

McMahan et al. 2017, algorithm 1; the communication pattern of every method with a central server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch

from fedrun.core import chain
from fedrun.core.algorithm import Clients, Round
from fedrun.core.federation import Done, Federation, Job, Map, Protocol, Record, State
from fedrun.core.plan import chunk_plan, draw_cohort, even_chunks
from fedrun.core.tree import Tree, expand, num_bytes, row, squared_norm


def synchronous(federation: Federation) -> Protocol:
    """One cohort a round; the server steps when all of it has answered."""
    algorithm, held = federation.algorithm, federation.held

    def chunk(message: Tree, job: Job) -> Done:
        clients = job.clients
        plan = chunk_plan(held, federation.work, federation.seed, job.round, clients)
        examples = torch.from_numpy(held.sizes[job.clients]).float()
        solve = federation.solver(plan)
        reply = algorithm.client_update(
            Clients(examples, job.state, solve), expand(message, len(clients))
        )
        norm = squared_norm(reply.update.get("model", reply.update)).sqrt().cpu()
        ok = squared_norm(reply.update).isfinite().cpu()
        sent = chain.encode(
            federation.chain, chain.drop(chain.Packets(reply.update, reply.weight), ok)
        )
        trained = reply.trained
        measures = {
            "examples": examples.double(),
            "steps": trained.steps.double(),
            "loss": trained.loss,
            "correct": trained.correct,
            "seen": trained.seen,
            "norm": norm,
        }
        packet_bytes = num_bytes(sent.update) // len(clients)
        return Done(chain.total(sent), reply.state, ok, measures, packet_bytes)

    def round_(state: State, map_chunks: Map) -> tuple[State, Record]:
        number = state.round + 1
        cohort = draw_cohort(
            federation.seed, number, len(held), federation.cohort_size, federation.sampling
        )
        chunks = even_chunks(cohort, federation.chunk_size)
        message = algorithm.message(state.server)
        jobs = [Job(number, clients, state.bank.take(clients.tolist())) for clients in chunks]
        done = list(map_chunks(message, jobs))

        accepted = sum(int(part.ok.sum()) for part in done)
        server, bank = state.server, state.bank
        if accepted:
            total = chain.decode(federation.chain, reduce(chain.add, (p.total for p in done)))
            facts = Round(state.round, accepted, len(held))
            server = algorithm.server_update(server, total.update, facts)
        bank = bank.renewed(
            {
                int(job.clients[index]): row(part.state, index)
                for job, part in zip(jobs, done, strict=True)
                for index in part.ok.nonzero().flatten().tolist()
            }
        )
        down = num_bytes(message)
        renewed = replace(
            state,
            round=number,
            server=server,
            bank=bank,
            up_bytes=state.up_bytes + sum(p.packet_bytes * len(p.ok) for p in done),
            down_bytes=state.down_bytes + down * len(cohort),
        )
        return renewed, record(renewed, jobs, done, down)

    return Protocol(chunk, round_)


def record(state: State, jobs: Sequence[Job], done: Sequence[Done], down_bytes: int) -> Record:
    """The round's metrics and one row per client, in client order.

    `train/loss` and `train/accuracy` are means over every example of every local step of the
    accepted clients, measured just before the step. Figures that are not finite are left out: a
    rejected client's, or the mean of squared errors beyond float32 (their gradients may be finite
    still).
    """
    rows: list[dict[str, Any]] = []
    loss = correct = seen = 0.0
    for job, part in zip(jobs, done, strict=True):
        table = {name: values.tolist() for name, values in part.measures.items()}
        for index, client in enumerate(job.clients.tolist()):
            figures = {name: values[index] for name, values in table.items()}
            ok = bool(part.ok[index])
            line = {
                "round": job.round,
                "client": client,
                "examples": int(figures["examples"]),
                "steps": int(figures["steps"]),
                "train/loss": figures["loss"] / max(figures["seen"], 1.0),
                "update_norm": figures["norm"],
                "clipped": False,
                "up_bytes": part.packet_bytes,
                "down_bytes": down_bytes,
                "sim_seconds": 0.0,
                "status": "ok" if ok else "rejected",
            }
            rows.append({name: value for name, value in line.items() if _is_finite(value)})
            if ok:
                loss += figures["loss"]
                correct += figures["correct"]
                seen += figures["seen"]
    rejected = sum(line["status"] == "rejected" for line in rows)
    metrics = {
        "clients/ok": len(rows) - rejected,
        "clients/rejected": rejected,
        "comm/up_bytes": state.up_bytes,
        "comm/down_bytes": state.down_bytes,
    }
    if seen:
        metrics = {"train/loss": loss / seen, "train/accuracy": correct / seen, **metrics}
    metrics = {name: value for name, value in metrics.items() if _is_finite(value)}
    return Record(metrics, rows, int(seen))


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or abs(value) < float("inf")
