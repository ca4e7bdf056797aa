"""What is written of a round: its metrics, and a row for each client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.federation import Done, State
from fedrun.core.record import Column, Record, Rows


def nothing_done(count: int) -> dict[str, Array]:
    """The measures of clients that have not trained."""
    nothing = np.zeros(count, np.int64)
    return {"steps": nothing, "sums": np.zeros((count, 3)), "norm": np.full(count, np.nan)}


def record(state: State, cohort: Array, done: Sequence[Done], down_bytes: int) -> Record:
    """The round's metrics and one row per client, in client order.

    `train/loss` and `train/accuracy` are means over every example of every local step of the
    accepted clients, measured just before the step. Figures that are not finite are left out: a
    rejected client's, or the mean of squared errors beyond float32 (their gradients may be finite
    still).
    """
    nobody = {"examples": np.empty(0, np.int64), **nothing_done(0)}
    figures = {
        name: np.concatenate([none, *(part.measures[name] for part in done)])
        for name, none in nobody.items()
    }
    ok = np.concatenate([np.empty(0, bool), *(part.ok for part in done)])
    losses, _, examples = figures["sums"].T
    count = len(ok)
    up_bytes = [part.packet_bytes for part in done for _ in part.ok]
    rows: dict[str, Column] = {
        "round": [state.round] * count,
        "client": cohort.tolist(),
        "examples": figures["examples"].tolist(),
        "steps": figures["steps"].tolist(),
        "noised_steps": noised_steps(done),
        "train/loss": finite(losses / np.maximum(examples, 1.0)),
        "update_norm": finite(figures["norm"]),
        "clipped": was_clipped(done),
        "up_bytes": up_bytes,
        "down_bytes": [down_bytes] * count,
        "sim_seconds": [0.0] * count,
        "status": ["ok" if accepted else "rejected" for accepted in ok.tolist()],
    }
    for name in done[0].noted if done else ():
        rows[name] = finite(np.concatenate([part.noted[name] for part in done]))
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


def noised_steps(done: Sequence[Done]) -> Column:
    """Of each client, the steps that its account pays for, where examples are hidden."""
    nothing = [[None] * len(part.ok) for part in done]
    return [
        None if many is None else int(many)
        for part, none in zip(done, nothing, strict=True)
        for many in part.measures.get("noised_steps", none)
    ]


def was_clipped(done: Sequence[Done]) -> Column:
    """Of each client, whether its update was shortened on its way."""
    nobody = [np.zeros(len(part.ok), bool) for part in done]
    parts = [part.measures.get("clipped", none) for part, none in zip(done, nobody, strict=True)]
    return [bool(value) for part in parts for value in part]


def finite(values: Array) -> Column:
    """The numbers, None in the place of those that are none."""
    column: Column = values.tolist()
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        column[index] = None
    return column


def with_slow(
    line: Record, round: int, cohort: Array, epochs: Array, asked: int, down_bytes: int
) -> Record:
    """The record with the clients that were dropped, epochs 0, and those that did less than
    `asked` marked."""
    rows = iter(line.clients)
    whole: list[dict[str, Any]] = []
    for client, done in zip(cohort.tolist(), epochs.tolist(), strict=True):
        row = dict(next(rows)) if done else dropped(round, client, down_bytes)
        if 0 < done < asked and row["status"] == "ok":
            row["status"] = "straggled"
        whole.append(row)
    # A row leaves out what it has no figure for.
    names = dict.fromkeys([*dropped(round, 0, 0), *line.clients.columns])
    columns = {name: [row.get(name) for row in whole] for name in names}
    missing = sum(row["status"] == "dropped" for row in whole)
    return replace(
        line, metrics={**line.metrics, "clients/dropped": missing}, clients=Rows(columns)
    )


def dropped(round: int, client: int, down_bytes: int) -> dict[str, Any]:
    """The row of a client whose answer came too late."""
    return {
        "round": round,
        "client": client,
        "examples": 0,
        "steps": 0,
        "noised_steps": None,
        "train/loss": None,
        "update_norm": None,
        "clipped": False,
        "up_bytes": 0,
        "down_bytes": down_bytes,
        "sim_seconds": 0.0,
        "status": "dropped",
    }
