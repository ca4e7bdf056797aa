"""`fedrun evaluate`: score a saved model again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrun.cli.collector import at_work
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
        from rich.console import Console
        from rich.markup import escape

        from fedrun.cli.evaluate_view import show
        from fedrun.core.measure import score
        from fedrun.experiment.build import build
        from fedrun.experiment.directory import read_manifest
        from fedrun.experiment.run import evaluation_config
        from fedrun.experiment.saved import load_model

        at_work()
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
        show(console, experiment, scores)
