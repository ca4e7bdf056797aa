"""The global model's figures on the test set, scored in blocks of rows by whoever is free.

The blocks depend on the size of the test set alone, so the figures are the same bits for any number
of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from fedrun.core.federation import Map, State
from fedrun.core.measure import BATCH, Scores, client_figures, global_figures, score
from fedrun.core.option import RunError
from fedrun.core.task import Examples
from fedrun.core.tree import Tree
from fedrun.experiment.build import Experiment

BLOCKS = 8


@dataclass(frozen=True)
class TestRows:
    """A job: score these rows of the test set."""

    begin: int
    end: int


def open_crew(experiment: Experiment) -> AbstractContextManager[Map]:
    """Those who train this experiment's chunks and score its test set."""

    def work(message: Tree, job: Any) -> Any:
        if isinstance(job, TestRows):
            return score_rows(experiment, message, job)
        return experiment.protocol.chunk(message, job)

    return experiment.engine.open(work)


def hand_out(experiment: Experiment, state: State, crew: Map) -> Iterator[Scores]:
    """Have the test set scored; the parts come in order."""
    return crew(state.server["model"], blocks(len(experiment.test)))


def evaluate(experiment: Experiment, state: State) -> dict[str, float]:
    """The figures, scored here and now."""
    model, rows = state.server["model"], blocks(len(experiment.test))
    return figures(experiment, state, (score_rows(experiment, model, block) for block in rows))


def figures(experiment: Experiment, state: State, parts: Iterable[Scores]) -> dict[str, float]:
    """Figures of the global model on the test set, as a whole and by clients' shares."""
    columns = zip(*((p.loss, p.prediction, p.y, p.correct) for p in parts), strict=True)
    scores = Scores(*(np.concatenate(column) for column in columns))
    figures = global_figures(experiment.task, scores)
    figures |= client_figures(experiment.task, scores, experiment.partition.test)
    bad = next((name for name, value in figures.items() if not isfinite(value)), None)
    if bad:
        raise RunError(
            f"round {state.round}: {bad} is not finite, the model has diverged; "
            f"a smaller local.lr or server.lr, or local.clip_norm, may help"
        )
    return figures


def blocks(count: int) -> list[TestRows]:
    """At most `BLOCKS` blocks of whole batches."""
    size = BATCH * -(-count // (BATCH * BLOCKS))
    return [TestRows(begin, min(begin + size, count)) for begin in range(0, count, size)]


def score_rows(experiment: Experiment, model: Tree, rows: TestRows) -> Scores:
    test, part = experiment.test, slice(rows.begin, rows.end)
    return score(experiment.task, model, Examples(test.x[part], test.y[part]))
