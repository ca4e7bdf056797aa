"""Training is a generator of rounds; whoever iterates decides what is written and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Any

from fedrun.core.federation import Map, State
from fedrun.core.measure import client_figures, global_figures, is_better, score
from fedrun.core.option import ConfigError, RunError
from fedrun.core.tree import is_finite
from fedrun.experiment.build import Experiment
from fedrun.experiment.settings import Settings, Stop

History = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Event:
    """A round that is over: the state after it, its line of metrics, its rows of clients.

    stopped: why training ends here before its last round, or None.
    """

    state: State
    metrics: dict[str, float]
    clients: list[dict[str, Any]]
    stopped: str | None


def rounds(
    experiment: Experiment, state: State, history: History, map_chunks: Map
) -> Iterator[Event]:
    """Train from `state` on; `history` holds the metrics of the rounds before it."""
    settings = experiment.settings
    history = list(history)
    while state.round < settings.rounds and not stop_reason(settings.stop, history):
        began = perf_counter()
        state, record = experiment.protocol.round(state, map_chunks)
        if hopeless(settings, state.round, record.clients, history):
            raise RunError(
                f"round {state.round}: no client's update is finite, training has diverged; "
                f"a smaller local.lr, or local.clip_norm, may help"
            )
        if not is_finite(state.server):
            raise RunError(
                f"round {state.round}: the global model is not finite any more; "
                f"a smaller local.lr or server.lr, or local.clip_norm, may help"
            )
        metrics: dict[str, float] = {"round": state.round, **record.metrics}
        if not experiment.task.has_accuracy:
            metrics.pop("train/accuracy", None)
        metrics["train/examples"] = record.examples
        trained = perf_counter()
        if is_due(settings, state.round) or stop_reason(settings.stop, [*history, metrics]):
            metrics |= evaluate(experiment, state)
        stopped = stop_reason(settings.stop, [*history, metrics])
        metrics["time/train_seconds"] = trained - began
        metrics["time/round_seconds"] = perf_counter() - began
        history.append(metrics)
        yield Event(state, metrics, record.clients, stopped)


def hopeless(
    settings: Settings, round: int, clients: Sequence[Mapping[str, Any]], history: History
) -> bool:
    """Whether nothing was learnt and nothing will be: a whole cohort of several is rejected; or a
    cohort of one, which may be one bad client, three times in a row or at the end."""
    if any(row["status"] == "ok" for row in clients):
        return False
    before = [line["clients/rejected"] for line in history[-2:]]
    again = len(before) == 2 and all(before)
    return len(clients) > 1 or again or round == settings.rounds


def is_due(settings: Settings, round: int) -> bool:
    """Whether the model is scored after this round: every so often, and at the end."""
    every = settings.evaluate.every
    return round == settings.rounds or bool(every and round % every == 0)


def evaluate(experiment: Experiment, state: State) -> dict[str, float]:
    """Figures of the global model on the test set, as a whole and by clients' shares."""
    task = experiment.task
    scores = score(task, state.server["model"], experiment.test)
    figures = global_figures(task, scores)
    figures |= client_figures(task, scores, experiment.partition.test)
    bad = next((name for name, value in figures.items() if not isfinite(value)), None)
    if bad:
        raise RunError(
            f"round {state.round}: {bad} is not finite, the model has diverged; "
            f"a smaller local.lr or server.lr, or local.clip_norm, may help"
        )
    return figures


def stop_reason(stop: Stop, history: History) -> str | None:
    """Why to end now: the goal is reached, or `patience` measurements brought nothing better."""
    if stop.metric is None:
        return None
    values = [line[stop.metric] for line in history if stop.metric in line]
    if not values:
        return None
    better = is_better(stop.metric)
    if stop.value is not None and better * values[-1] >= better * stop.value:
        return f"{stop.metric} reached {stop.value:g}"
    if stop.patience is not None:
        best = max(range(len(values)), key=lambda index: better * values[index])
        if len(values) - 1 - best >= stop.patience:
            return f"{stop.metric} has not improved in {stop.patience} measurements"
    return None


def check_stop(experiment: Experiment) -> None:
    """`stop.metric` must be a figure that this run will measure."""
    stop, settings = experiment.settings.stop, experiment.settings
    if stop.metric is None:
        return
    trained = ["train/loss", "train/accuracy"] if experiment.task.has_accuracy else ["train/loss"]
    measured = (
        ["test/loss", "test/accuracy", "client/accuracy_mean", "client/accuracy_worst10"]
        if experiment.task.has_accuracy
        else ["test/loss", "test/mae", "test/r2", "client/loss_mean", "client/loss_worst10"]
    )
    if stop.metric not in trained + measured:
        known = ", ".join(trained + measured)
        raise ConfigError(f"stop.metric={stop.metric} is not measured in this run; known: {known}")
    if stop.metric in measured and not settings.evaluate.every:
        raise ConfigError(
            f"stop.metric={stop.metric} is never measured before the end while evaluate.every=0"
        )
