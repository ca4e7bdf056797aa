"""`fedrun partition`: who holds what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fedrun.cli.arguments import Overrides, compose_arguments
from fedrun.cli.collector import at_work
from fedrun.cli.errors import told


def partition(
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Write it to a file too, for partition=file."),
    ] = None,
) -> None:
    """Show who would hold what, as a table and a picture; train nothing."""
    with told():
        from fedrun.cli.partition_view import show
        from fedrun.experiment.build import hold
        from fedrun.experiment.partition_file import export

        at_work()
        held = hold(compose_arguments(overrides).values)
        from_file = held.bound["partition"].name == "file"
        seed = None if from_file else held.settings.seed
        console = Console(highlight=False)
        if out is not None:
            export(out, held)  # before the tables, which a refusal would stand below
        show(console, held.dataset, held.partition, seed)
        if out is not None:
            console.print(f"Written to {escape(str(out))}", soft_wrap=True)
