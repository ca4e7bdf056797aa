"""`summary.json`: final and best figures, each with how it was measured, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedrun.core.federation import State
from fedrun.core.metric import SCORED, is_better
from fedrun.experiment.build import Experiment


def summarise(
    experiment: Experiment,
    state: State,
    history: Sequence[Mapping[str, float]],
    figures: Mapping[str, float],
    stopped: str | None,
    privacy: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Final and best figures, each with how it was measured, and what they cost."""
    last = {**(history[-1] if history else {}), **figures}
    measured = [name for name in last if name.startswith(SCORED)]
    best = {}
    for name in measured:
        lines = [line for line in history if name in line] or [{**last, "round": 0}]
        line = max(lines, key=lambda line, name=name: is_better(name) * line[name])  # type: ignore[misc]
        best[name] = {"value": line[name], "round": line["round"]}
    seconds = sum(line["time/round_seconds"] for line in history)
    training = sum(line["time/train_seconds"] for line in history)
    examples = sum(line.get("train/examples", 0) for line in history)
    return {
        "rounds": state.round,
        "stopped": stopped or "all rounds done",
        "final": {name: last[name] for name in last if not name.startswith(("time/", "round"))},
        "best": best,
        "measured": {
            "final": f"the global model after round {state.round}",
            "best": "the best evaluated round, chosen on the test set itself: optimistic",
            "test/*": test_set(experiment),
            "personal/*": "clients' own models, on their own shares of the test set",
            "unseen/*": "clients that never took part: the models that they would use",
            "client/*": "clients' own shares of the test set, every client counting alike",
            "client/*_worst10, *_best10": "the mean over the worst, or best, tenth of the clients",
            "client/*@NAME": "one client's own share of the test set",
            "client/*_sd": "the standard deviation over clients (divided by N)",
            "objective/*": "the global model on all training rows of clients that take part",
            "train/*": "mean over the round's local steps, before each step",
        },
        **({"privacy": privacy} if privacy else {}),
        **({"train/examples": examples} if examples else {}),
        "comm/up_bytes": state.up_bytes,
        "comm/down_bytes": state.down_bytes,
        "time/seconds": seconds,
        **({"time/examples_per_second": examples / training} if examples and training else {}),
    }


def test_set(experiment: Experiment) -> str:
    """Which rows the models are scored on, and which not."""
    count, own = len(experiment.test), experiment.settings.clients.test_fraction
    if own is None:
        return f"the official test set of {count:,} examples"
    return f"{count:,} examples: {own:g} of what each client holds, kept back from its training"
