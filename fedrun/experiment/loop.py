"""Training is a generator of rounds; whoever iterates decides what is written and shown.

The next round is handed out before the last one's event is given. With workers it is trained while
the figures of the last one are waited for and its event is written; without, nothing of it is
worked on until then. An event that ends the run is the last: what was begun is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fedrun.core.federation import Map, State
from fedrun.core.metric import is_better, trained
from fedrun.core.option import ConfigError, RunError
from fedrun.core.record import Record, Rows
from fedrun.core.tree import is_finite
from fedrun.experiment.build import Experiment
from fedrun.experiment.evaluation import Scored, figures, hand_out, measured
from fedrun.experiment.settings import Settings, Stop

History = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Event:
    """A round that is over: the state after it, its line of metrics, its rows of clients.

    stopped: why training ends here before its last round, or None.
    """

    state: State
    metrics: dict[str, float]
    clients: Rows
    stopped: str | None


@dataclass(frozen=True)
class Pending:
    """A round whose figures may still be on their way; `scores` is None where it has none."""

    state: State
    metrics: dict[str, float]
    clients: Rows
    scores: Scored | None
    seconds: float


Spend = Callable[[int, Rows], dict[str, float]]


def free(round: int, clients: Rows) -> dict[str, float]:
    """What a round costs that no guarantee is about: nothing."""
    return {}


def rounds(
    experiment: Experiment, state: State, history: History, crew: Map, spend: Spend = free
) -> Iterator[Event]:
    """Train from `state` on; `history` holds the metrics of the rounds before it.

    spend: (round, rows of clients) -> figures; called before anybody is shown the round.

    time/train_seconds: spent on handing the round out, and on waiting for it once the event of the
    round before is written.
    time/round_seconds: from event to event, so they add up to the time that the run took.
    """
    settings, history = experiment.settings, list(history)
    last: Pending | None = None
    shown = perf_counter()
    while True:
        began = perf_counter()
        known = [*history, last.metrics] if last else history
        goes_on = state.round < settings.rounds and not stop_reason(settings.stop, known)
        finish = experiment.protocol.start(state, crew) if goes_on else None
        seconds = perf_counter() - began
        if last:
            with paid_if_refused(spend, last.state.round, last.clients):
                metrics = scored(experiment, last)
            metrics |= spend(last.state.round, last.clients)
            now = perf_counter()
            metrics |= {"time/train_seconds": last.seconds, "time/round_seconds": now - shown}
            shown = now
            history.append(metrics)
            stopped = stop_reason(settings.stop, history)
            yield Event(last.state, metrics, last.clients, stopped)
            if stopped:
                return
        if not finish:
            return
        began = perf_counter()
        state, record = finish()
        with paid_if_refused(spend, state.round, record.clients):
            refuse_divergence(experiment, state, record, history)
        seconds += perf_counter() - began
        metrics = plain_metrics(experiment, state, record)
        due = is_due(settings, state.round) or stop_reason(settings.stop, [*history, metrics])
        scores = hand_out(experiment, state, crew) if due else None
        last = Pending(state, metrics, record.clients, scores, seconds)


@contextmanager
def paid_if_refused(spend: Spend, round: int, clients: Rows) -> Iterator[None]:
    """To be told that a round's model is no good is to be told of the round."""
    try:
        yield
    except RunError:
        spend(round, clients)
        raise


def plain_metrics(experiment: Experiment, state: State, record: Record) -> dict[str, float]:
    """What is known of a round before its model is scored."""
    metrics: dict[str, float] = {"round": state.round, **record.metrics}
    if not experiment.task.has_accuracy:
        metrics.pop("train/accuracy", None)
    metrics["train/examples"] = record.examples
    if experiment.privacy.figures:
        metrics |= experiment.privacy.figures(state.channel["0"])
    hidden = experiment.privacy.hidden
    return {n: value for n, value in metrics.items() if not (hidden and n.startswith(hidden))}


def scored(experiment: Experiment, pending: Pending) -> dict[str, float]:
    """The round's metrics with the model's figures, which are waited for."""
    if pending.scores is None:
        return pending.metrics
    return {**pending.metrics, **figures(experiment, pending.state, pending.scores)}


def refuse_divergence(
    experiment: Experiment, state: State, record: Record, history: History
) -> None:
    """A `RunError` where nothing is to be hoped for."""
    settings = experiment.settings
    # Where a guarantee hides clients, that everybody's update was bad is nobody's business.
    hidden = experiment.federation.owed or "clients/" in experiment.privacy.hidden
    if not hidden and hopeless(settings, state.round, record.clients, history):
        raise RunError(
            f"round {state.round}: no client's update is finite, training has diverged; "
            f"a smaller local.lr, or local.clip_norm, may help"
        )
    if not is_finite(state.server):
        raise RunError(
            f"round {state.round}: the global model is not finite any more; "
            f"a smaller local.lr or server.lr, or local.clip_norm, may help"
        )


def hopeless(
    settings: Settings, round: int, clients: Sequence[Mapping[str, Any]], history: History
) -> bool:
    """Whether nothing was learnt and nothing will be: a whole cohort of several is rejected; or a
    cohort of one, which may be one bad client, three times in a row or at the end. Clients that
    were dropped say nothing."""
    answers = [row["status"] for row in clients if row["status"] != "dropped"]
    if not answers or any(status != "rejected" for status in answers):
        return False
    before = [line.get("clients/rejected", 0) for line in history[-2:]]
    again = len(before) == 2 and all(before)
    return len(answers) > 1 or again or round == settings.rounds


def is_due(settings: Settings, round: int) -> bool:
    """Whether the model is scored after this round: every so often, and at the end."""
    every = settings.evaluate.every
    return round == settings.rounds or bool(every and round % every == 0)


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
    hidden = experiment.privacy.hidden
    known, scored = trained(experiment.task.has_accuracy), measured(experiment)
    if hidden:
        known = [name for name in known if not name.startswith(hidden)]
    if stop.metric not in known + scored:
        names = ", ".join(known + scored)
        raise ConfigError(f"stop.metric={stop.metric} is not measured in this run; known: {names}")
    if stop.metric in scored and not settings.evaluate.every:
        raise ConfigError(
            f"stop.metric={stop.metric} is never measured before the end while evaluate.every=0"
        )
