"""Figures that follow from others: rounds, rows of clients, and the summary, worked out again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment import config_file
from fedrun.experiment.audit_found import Check, Found, agreed, unread
from fedrun.experiment.checkpoint import load_checkpoint, newest_checkpoint
from fedrun.experiment.loop import stop_reason
from fedrun.experiment.summary import summarise

TOLD_ELSEWHERE = ("measured", "privacy")  # words, and what `audit_privacy` works out


def figure_checks(run: Found) -> Iterator[Check]:
    """Rounds, clients and summary; nothing where the logs themselves are gone."""
    metrics, ledger = run.lines("metrics.jsonl"), run.lines("audit.jsonl")
    rounds = [line.get("round") for line in metrics]
    released = [record for record in ledger if record.get("event") == "round"]
    recorded = [record.get("round") for record in released]
    right = rounds == list(range(1, len(rounds) + 1))
    yield agreed(
        "metrics.jsonl: rounds",
        right,
        f"{len(rounds)} round{'s' * (len(rounds) != 1)}, one line each",
    )
    counted = f"{len(recorded)} round{'s' * (len(recorded) != 1)}"
    if run.finished:
        right = rounds == recorded
        against = f"{counted} in audit.jsonl"
    else:  # a kill may come between the line and the record
        right = recorded == rounds[: len(recorded)] and len(rounds) - len(recorded) <= 1
        against = f"{counted} in audit.jsonl, as far as it is"
    yield agreed("metrics.jsonl: ledger", right, against)
    yield from client_check(run, released)
    if run.finished:
        yield from summary_check(run, metrics)
    else:
        yield Check("summary.json", "not yet", "it appears when a run is finished")


def client_check(run: Found, released: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """The rows of each round against the clients that the ledger names."""
    rows = run.lines("clients.jsonl")
    if not rows:
        return  # withheld, or nobody ever came; that they were cut off a checkpoint tells
    known = {record.get("round") for record in released}
    wanted: Counter[Any] = Counter()
    for record in released:
        for kind in ("clients", "rejected", "dropped"):
            of_kind = record.get(kind, [])
            wanted.update((record.get("round"), number, kind) for number in of_kind)
    kinds = {"rejected": "rejected", "dropped": "dropped"}
    found = Counter(
        (row.get("round"), row.get("client"), kinds.get(str(row.get("status")), "clients"))
        for row in rows
        if run.finished or row.get("round") in known
    )
    yield agreed("clients.jsonl: ledger", found == wanted, "who took part, against audit.jsonl")


def summary_check(run: Found, metrics: list[dict[str, Any]]) -> Iterator[Check]:
    """The summary, worked out again from the metrics and the last checkpoint."""
    name, why = "summary.json", "its figures, worked out again from metrics.jsonl"
    if run.content(name) is None:
        yield Check(name, "missing", "a finished run has one")
        return
    try:
        found = run.object(name)
        expected = summary_again(run, metrics, found)
        keys = [key for key in found.keys() | expected.keys() if key not in TOLD_ELSEWHERE]
        wrong = sorted(key for key in keys if found.get(key) != expected.get(key))
    except (ValueError, LookupError, TypeError, RunError, ConfigError) as error:
        yield Check(name, "altered", f"its figures cannot be worked out again ({unread(error)})")
        return
    if wrong:
        yield Check(name, "altered", f"{', '.join(wrong)}: not what follows from metrics.jsonl")
    else:
        yield Check(name, "ok", why)


def summary_again(
    run: Found, metrics: list[dict[str, Any]], found: Mapping[str, Any]
) -> dict[str, Any]:
    newest = newest_checkpoint(run.path / "checkpoints")
    if newest is None:
        raise RunError("there is no checkpoint")
    tree, _ = load_checkpoint(newest)
    config = config_file.parse((run.content("config.yaml") or b"").decode(), "config.yaml")
    state: Any = SimpleNamespace(
        round=tree["round"], up_bytes=tree["up_bytes"], down_bytes=tree["down_bytes"]
    )
    experiment: Any = SimpleNamespace(
        test=range(run.manifest["data"]["test"]),
        settings=SimpleNamespace(clients=SimpleNamespace(**config["clients"])),
    )
    stopped = stop_reason(SimpleNamespace(**config["stop"]), metrics)  # type: ignore[arg-type]
    # Of a run of no round nothing but the first model was scored, and no other file tells that.
    figures = {} if metrics else dict(found["final"])
    again = summarise(experiment, state, metrics, figures, stopped)
    plain: dict[str, Any] = json.loads(json.dumps(again))
    return plain
