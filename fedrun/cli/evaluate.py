"""`fedrun evaluate`: score a saved model again."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedrun.cli.errors import told


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[data...=VALUE]...", help="Another place or set of data.", show_default=False
        ),
    ] = None,
) -> None:
    """Score a run's model: test set, clients, worst tenth, per class, confusion matrix."""
    with told():
        from fedrun.core.measure import score
        from fedrun.experiment.build import build
        from fedrun.experiment.directory import read_manifest
        from fedrun.experiment.run import evaluation_config
        from fedrun.experiment.saved import load_model

        composed = evaluation_config(run, read_manifest(run), overrides or [])
        experiment = build(composed.values)
        params, which = load_model(run, experiment)
        scores = score(experiment.task, params, experiment.test)
        console = Console(highlight=False)
        console.print(
            f"[bold]{escape(str(run))}[/]: {which}, on {len(scores.y):,} test examples of "
            f"{escape(experiment.dataset.name)}\n",
            soft_wrap=True,
        )
        if experiment.task.has_accuracy:
            per_class(console, scores, experiment.dataset.spec.classes)
            confusion(console, scores, experiment.dataset.spec.classes)
        figures(console, experiment, scores)
        clients(console, experiment, scores)


def per_class(console: Console, scores: Any, classes: tuple[str, ...]) -> None:
    """Precision, recall and F1 of each class, with macro and weighted means."""
    from sklearn.metrics import precision_recall_fscore_support as measure

    labels = np.arange(len(classes))
    console.print("[bold]Classification report[/]")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class")
    for heading in ("precision", "recall", "F1", "support"):
        table.add_column(heading, justify="right")

    def add(name: str, row: tuple[float, ...], support: int) -> None:
        table.add_row(escape(name), *(f"{value:.4f}" for value in row), f"{support:,}")

    columns = measure(scores.y, scores.prediction, labels=labels, zero_division=0.0)
    for name, *row, support in zip(classes, *columns, strict=True):
        add(name, tuple(row), support)
    table.add_section()
    for average in ("macro", "weighted"):
        means = measure(
            scores.y, scores.prediction, labels=labels, average=average, zero_division=0.0
        )
        add(f"{average} mean", means[:3], len(scores.y))
    console.print(table)
    console.print()


def confusion(console: Console, scores: Any, classes: tuple[str, ...]) -> None:
    """Rows are the true classes, columns the predicted ones."""
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(scores.y, scores.prediction, labels=np.arange(len(classes)))
    console.print("[bold]Confusion matrix[/] (rows: true class, columns: predicted)")
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    numbered = sum(len(name) + 2 for name in classes) > console.width - 20
    for index, name in enumerate(classes):
        table.add_column(str(index) if numbered else escape(name), justify="right")
    for index, (name, row) in enumerate(zip(classes, matrix, strict=True)):
        cells = [f"[bold]{n}[/]" if column == index else str(n) for column, n in enumerate(row)]
        table.add_row(escape(f"{index} {name}" if numbered else name), *cells)
    console.print(table)
    console.print()


def figures(console: Console, experiment: Any, scores: Any) -> None:
    """The figures of `metrics.jsonl`, measured again."""
    from fedrun.core.measure import client_figures, global_figures

    task = experiment.task
    values = global_figures(task, scores) | client_figures(task, scores, experiment.partition.test)
    for name, value in values.items():
        console.print(f"{name:<24} {value:.4f}")
    console.print()


def clients(console: Console, experiment: Any, scores: Any) -> None:
    """Clients from worst to best; of many only the worst tenth, at most 20."""
    from fedrun.core.measure import per_client_mean

    accuracy, shares = experiment.task.has_accuracy, experiment.partition.test
    values = per_client_mean(scores.correct if accuracy else scores.loss, shares)
    order = np.argsort(values if accuracy else -values, kind="stable")
    order = order[~np.isnan(values[order])]
    shown = order if len(order) <= 20 else order[: min(20, ceil(len(order) / 10))]
    without = len(values) - len(order)
    left_out = f"; {without:,} hold no test example" if without else ""
    console.print(
        f"[bold]Clients, worst first[/] ({len(shown):,} of {len(values):,} shown{left_out})"
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("client")
    table.add_column("accuracy" if accuracy else "loss", justify="right")
    table.add_column("test examples", justify="right")
    for client in shown:
        table.add_row(
            escape(experiment.partition.names[client]),
            f"{values[client]:.4f}",
            f"{shares.sizes[client]:,}",
        )
    console.print(table)
