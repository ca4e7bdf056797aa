"""`fedrun evaluate`: score a saved model again."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrun.cli.arguments import OneRun
from fedrun.cli.collector import at_work
from fedrun.cli.errors import say, told


def evaluate(
    run: OneRun,
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

        from fedrun.cli.evaluate_view import own_models, show
        from fedrun.core.measure import score
        from fedrun.experiment.build import build
        from fedrun.experiment.directory import read_manifest
        from fedrun.experiment.evaluation import Scored, figures
        from fedrun.experiment.evaluation_file import FILE, own_scores, write
        from fedrun.experiment.run import evaluation_config
        from fedrun.experiment.same_data import refuse_other_data
        from fedrun.experiment.saved import load_model

        at_work()
        manifest = read_manifest(run)
        composed = evaluation_config(run, manifest, overrides or [])
        experiment = build(composed.values)
        if not overrides:
            refuse_other_data(run, manifest, experiment)
        params, which = load_model(run, experiment)
        algorithm = experiment.federation.algorithm
        console = Console(highlight=False)
        # What a report shows is the run's own model on the run's own data.
        kept = manifest["status"] == "finished" and not overrides
        scores = own = None
        if algorithm.has_global:
            own_part = experiment.settings.clients.test_fraction
            kept_back = f", {own_part:g} of what each client holds" if own_part else ""
            scores = score(experiment.task, params, experiment.test, experiment.engine.answer)
            console.print(
                f"[bold]{escape(str(run))}[/]: {which}, on {len(scores.y):,} test examples of "
                f"{escape(experiment.dataset.name)}{kept_back}\n",
                soft_wrap=True,
            )
            show(console, experiment, scores)
        if algorithm.personal and "personal/" in experiment.privacy.hidden:
            console.print(
                "Clients' own models are not scored: their figures would tell what noise hides."
            )
        elif algorithm.personal and kept:
            own = own_scores(run, experiment)
            own_models(
                console, figures(experiment, experiment.state, Scored(None, None, own and [own]))
            )
        elif algorithm.personal:
            console.print("Clients' own models are scored of a finished run, on its own data.")
        if kept:
            try:
                write(run, manifest, experiment, scores, own)
            except OSError as error:
                say(f"{run / FILE} was not written: {error.strerror or error}")
