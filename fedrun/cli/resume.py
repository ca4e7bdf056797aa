"""`fedrun resume`: go on with a run."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrun.cli.arguments import OneRun
from fedrun.cli.collector import at_work
from fedrun.cli.errors import one_voice, told


def resume(
    run: OneRun,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="rounds=N extends; engine.workers=N.", show_default=False
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the run's path only.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what happens as JSON lines, nothing else.")
    ] = False,
) -> None:
    """Go on from the last checkpoint, to the same bytes as if nothing had happened."""
    with told():
        one_voice(quiet, as_json)
        from fedrun.cli.progress import ending, observer
        from fedrun.experiment import run as runs

        at_work()
        with observer(quiet, as_json) as watching:
            path = runs.resume(run, overrides or [], watching)
        ending(path, watching, quiet, as_json)
