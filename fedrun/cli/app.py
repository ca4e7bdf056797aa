"""The program: one command a file.

Nothing here imports PyTorch: `--help` and Tab answer at once.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

import fedrun
from fedrun.cli import (
    audit,
    budget,
    collector,
    compare,
    evaluate,
    export,
    listing,
    partition,
    report,
    reproduce,
    resume,
    runs,
    show,
    sweep,
    train,
)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal's encoding must not end a run
    with collector.at_rest():
        build_app()()


def build_app() -> typer.Typer:
    """The program with all its commands."""
    app = typer.Typer(
        name="fedrun",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for command in (train.train, sweep.sweep, resume.resume, evaluate.evaluate, show.show):
        app.command()(command)
    app.command("list")(listing.list_choices)
    app.command()(partition.partition)
    app.command()(reproduce.reproduce)
    app.command()(budget.budget)
    app.command()(audit.audit)
    app.command()(compare.compare)
    app.command()(report.report)
    app.command()(runs.runs)
    app.command()(export.export)
    return app


def version(wanted: bool) -> None:
    if wanted:
        print(f"fedrun {fedrun.__version__}")
        raise typer.Exit


def options(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run federated learning experiments: strict configs, the same bits every time."""
