"""What is measured of a model, and how each figure is defined.

Every figure is a mean over rows or over clients of numbers measured per row, so one pass over the
test set serves the global figures and every client's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.core.layout import channels_last, convolutional, takes_channels_last
from fedrun.core.metric import SPREAD
from fedrun.core.partition import Ragged
from fedrun.core.task import Examples, Task
from fedrun.core.tree import Tree

BATCH = 500  # rows scored at once
IMAGES = 128  # the same for convolutional networks, whose activations would leave the cache
ANSWERED = 2_000  # by an engine, which turns the weights to its own order first

Answer = Callable[[Tree, Tensor], Tensor]
"""(model, inputs [N, ...]) -> what the module answers in evaluation mode, [N, ...]."""


@dataclass(frozen=True)
class Scores:
    """Per row: loss float64 [N]; prediction int64 [N], int64 [N, ...] at each position of a token
    sequence, or float64 [N, outputs] for regression; y likewise; correct float64 [N] (of a sequence
    the fraction of its positions; all 0 for regression)."""

    loss: Array
    prediction: Array
    y: Array
    correct: Array


def joined(parts: Iterable[Scores]) -> Scores:
    """Scores of rows that follow each other."""
    columns = zip(*((p.loss, p.prediction, p.y, p.correct) for p in parts), strict=True)
    return Scores(*(np.concatenate(column) for column in columns))


def rows_of(scores: Scores, rows: Array) -> Scores:
    """The scores of some rows."""
    return Scores(scores.loss[rows], scores.prediction[rows], scores.y[rows], scores.correct[rows])


def score(task: Task, params: Tree, examples: Examples, answer: Answer | None = None) -> Scores:
    """One pass of the model over all rows, in evaluation mode; by `answer` if there is one."""
    size = ANSWERED
    if answer is None:
        module = task.load(params).eval()
        images_last = takes_channels_last(task)
        size = IMAGES if convolutional(module) else BATCH
    parts = []
    with torch.no_grad():
        for x, y in zip(torch.split(examples.x, size), torch.split(examples.y, size), strict=True):
            if answer:
                outputs = answer(params, x)
            else:
                outputs = module(channels_last(x) if images_last else x)
            parts.append((task.loss(outputs, y), task.predict(outputs), task.correct(outputs, y)))
    loss, prediction, correct = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return Scores(
        loss.double().numpy(),
        (prediction if task.has_accuracy else prediction.double()).numpy(),
        examples.y.cpu().numpy(),
        correct.double().numpy(),
    )


def global_figures(task: Task, scores: Scores, prefix: str = "test") -> dict[str, float]:
    """`loss`, and `accuracy`, or `mae` and `r2` for regression, over all rows.

    r2 is 1 - sum of squared errors / sum of squared distances from the mean target.
    """
    figures = {f"{prefix}/loss": float(scores.loss.mean())}
    if task.has_accuracy:
        figures[f"{prefix}/accuracy"] = float(scores.correct.mean())
        return figures
    error = scores.prediction - scores.y
    spread = np.square(scores.y - scores.y.mean(0, dtype=np.float64)).sum()
    figures[f"{prefix}/mae"] = float(np.abs(error).mean())
    figures[f"{prefix}/r2"] = float(1 - np.square(error).sum() / spread) if spread else 0.0
    return figures


def client_figures(
    task: Task, scores: Scores, shares: Ragged, prefix: str = "client"
) -> dict[str, float]:
    """Over clients, of each client's own figure: the mean, the means of the worst and of the best
    tenth, and the standard deviation (N; in percent its square is the papers' variance).

    The figure is accuracy, or the loss for regression, on the client's share of the test set;
    clients without a test row are left out; a tenth has at least one client.
    """
    name = "accuracy" if task.has_accuracy else "loss"
    values = per_client_mean(scores.correct if task.has_accuracy else scores.loss, shares)
    if not len(values):
        return {}
    # Sorting would cost more than all else here where a million clients hold test rows.
    tenth = ceil(len(values) / 10)
    parted = np.partition(values, (tenth - 1, len(values) - tenth))
    low, high = float(parted[:tenth].mean()), float(parted[-tenth:].mean())
    worst, best = (low, high) if task.has_accuracy else (high, low)
    with np.errstate(invalid="ignore"):  # of a diverged model, which is told elsewhere
        figures = (float(values.mean()), worst, best, float(values.std()))
    return {f"{prefix}/{name}_{part}": value for part, value in zip(SPREAD, figures, strict=True)}


def named_figures(
    task: Task, scores: Scores, shares: Ragged, names: Sequence[str], prefix: str = "client"
) -> dict[str, float]:
    """`accuracy@NAME`, or the loss for regression, of each client that holds a test row."""
    name = "accuracy" if task.has_accuracy else "loss"
    values = per_client_mean(scores.correct if task.has_accuracy else scores.loss, shares)
    return {
        f"{prefix}/{name}@{names[client]}": float(value)
        for client, value in zip(shares.holders, values, strict=True)
    }


def per_client_mean(values: Array, shares: Ragged) -> Array:
    """float64 [holders]: the mean of a per-row figure over the rows of each client that has any."""
    holders = shares.holders
    if not len(holders):
        return np.empty(0)
    means: Array = np.add.reduceat(values[shares.rows], shares.offsets[holders])
    means /= shares.sizes[holders]
    return means
