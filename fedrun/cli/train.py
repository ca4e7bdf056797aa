"""`fedrun train`: one run."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrun.cli.arguments import Overrides, compose_arguments
from fedrun.cli.collector import at_work
from fedrun.cli.errors import one_voice, told
from fedrun.core.option import ConfigError


def train(
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, load the data, train nothing.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the run's path only.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what happens as JSON lines, nothing else.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where this very run was left unfinished.")
    ] = False,
) -> None:
    """Train a federation and write its run directory.

    A finished run of the same config is found again, never overwritten.
    """
    with told():
        one_voice(quiet, as_json)
        composed = compose_arguments(overrides)
        if dry_run:
            if as_json:
                raise ConfigError("--json has no effect with --dry-run, which trains nothing")
            from fedrun.cli.dry_run import dry_run as check

            at_work()
            check(composed)
            return
        from fedrun.cli.progress import ending, observer
        from fedrun.experiment import run

        at_work()
        with observer(quiet, as_json) as watching:
            path = run.train(composed, watching, resume_unfinished=resume)
        ending(path, watching, quiet, as_json)
