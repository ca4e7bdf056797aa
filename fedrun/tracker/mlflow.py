"""MLflow: a store of its own for all runs, or a server.

    fedrun train tracker=mlflow
    mlflow ui --backend-store-uri sqlite:///runs/mlflow/mlflow.db

A run of MLflow's is found again by its tag `fedrun.key`. If what it shows is the beginning of the
history, to the bit, it is gone on with; else MLflow, which takes no figure back, is made to delete
it and to begin another.

One write to the store costs 30 ms and more, so figures go there every two seconds and at the end.
Names of figures take letters, digits and `_ - . / :` and blanks: anything else becomes `_`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from fedrun.core.tracker import (
    Row,
    Session,
    Status,
    Tracked,
    Tracker,
    figures_of,
    flat,
    ignore,
    library,
)

KEY = "fedrun.key"
ENDED = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
SECONDS = 2.0  # between two writes
MOST_METRICS, MOST_PARAMS = 1000, 100  # in one write
LONGEST = 500  # letters of a hyperparameter


def mlflow(*, experiment: str = "fedrun", uri: str | None = None, model: bool = True) -> Tracker:
    """MLflow, in a SQLite store in the folder of all runs, or on a server.

    experiment: that the run belongs to
    uri: of a tracking server or store (null: mlflow/mlflow.db in run.root)
    model: whether the final model is copied there too
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # the import reads it
    tool = library("mlflow")
    entities = library("mlflow.entities")
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)

    def start(run: Tracked) -> Session:
        client, place = opened(tool, run, uri, experiment)
        mine, known = found(client, place, run)
        if mine is None:
            tags = {KEY: run.key, **{f"fedrun.{name}": str(v) for name, v in run.facts.items()}}
            mine = client.create_run(
                place, start_time=milliseconds(run.started), tags=tags, run_name=run.name
            ).info.run_id
            params = [entities.Param(key, short(v)) for key, v in flat(run.config).items()]
            for some in parts(params, MOST_PARAMS):
                client.log_batch(mine, params=some)
        waiting: list[Any] = []
        written = monotonic()

        def write() -> None:
            nonlocal written
            while waiting:
                client.log_batch(mine, metrics=waiting[:MOST_METRICS])
                del waiting[:MOST_METRICS]
            written = monotonic()

        def log(figures: Row, round: int, at: float) -> None:
            for name, value in accepted(figures).items():
                waiting.append(entities.Metric(name, value, milliseconds(at), round))
            if monotonic() - written > SECONDS:
                write()

        def artifact(file: Path) -> None:
            client.log_artifact(mine, str(file), "model")

        def finish(status: Status) -> None:
            write()
            client.set_terminated(mine, ENDED[status])

        return Session(log=log, artifact=artifact if model else ignore, finish=finish, known=known)

    return Tracker(start)


def opened(tool: Any, run: Tracked, uri: str | None, experiment: str) -> tuple[Any, str]:
    """A client of the store, and the number of the experiment, which is made where it lacks."""
    if uri is not None:
        return made(tool, uri, experiment, None)
    folder = (run.root / "mlflow").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        store = f"sqlite:///{folder / 'mlflow.db'}"
        return made(tool, store, experiment, (folder / "artifacts").as_uri())


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two runs that begin at once, as those of a sweep do, would both make the store's tables."""
    with (folder / ".lock").open("ab") as file:
        try:
            import fcntl
        except ImportError:  # where there is no flock
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(tool: Any, uri: str, experiment: str, artifacts: str | None) -> tuple[Any, str]:
    client = tool.MlflowClient(tracking_uri=uri)
    place = client.get_experiment_by_name(experiment)
    if place is None:
        try:
            return client, client.create_experiment(experiment, artifact_location=artifacts)
        except tool.MlflowException:  # another run of the same sweep was faster
            place = client.get_experiment_by_name(experiment)
            if place is None:
                raise
    return client, place.experiment_id


def found(client: Any, place: str, run: Tracked) -> tuple[str | None, int]:
    """MLflow's run of this run, and how many rounds it shows; one that shows others is deleted."""
    for old in client.search_runs([place], f"tags.`{KEY}` = '{run.key}'"):
        shown = shown_by(client, old)
        expected = [accepted(figures_of(row)) for row in run.history[: len(shown)]]
        if shown == dict(enumerate(expected, start=1)):
            client.update_run(old.info.run_id, status="RUNNING")
            return old.info.run_id, len(shown)
        client.delete_run(old.info.run_id)
    return None, 0


def shown_by(client: Any, old: Any) -> dict[int, dict[str, float]]:
    """The figures that MLflow has, round by round."""
    rounds: dict[int, dict[str, float]] = {}
    for name in old.data.metrics:
        for figure in client.get_metric_history(old.info.run_id, name):
            row = rounds.setdefault(figure.step, {})
            row[name] = figure.value if name not in row else float("nan")  # told twice: as nothing
    return rounds


def accepted(figures: Row) -> dict[str, float]:
    """Figures under names that MLflow takes; two that become the same are numbered.

    >>> accepted({"test/accuracy": 0.5, "client/accuracy@a+b": 1.0, "client/accuracy@a*b": 0.0})
    {'test/accuracy': 0.5, 'client/accuracy_a_b': 1.0, 'client/accuracy_a_b_2': 0.0}
    """
    taken: dict[str, float] = {}
    for name, value in figures.items():
        safe = again = re.sub(r"[^\w\-.:/ ]", "_", name, flags=re.ASCII)
        number = 2
        while again in taken:
            again, number = f"{safe}_{number}", number + 1
        taken[again] = value
    return taken


def short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def milliseconds(at: float) -> int:
    return int(at * 1000)


def parts(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), most):
        yield items[first : first + most]
