"""The program: one command a file, and what every command does about mistakes.

Nothing here imports PyTorch: `--help` and Tab answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

import fedrun
from fedrun.core.option import ConfigError, RunError


def main() -> None:
    """The console script."""
    build_app()()


def build_app() -> typer.Typer:
    """The program with all its commands."""
    from fedrun.cli import evaluate, listing, partition, resume, show, train

    app = typer.Typer(
        name="fedrun",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for command in (train.train, resume.resume, evaluate.evaluate, show.show):
        app.command()(command)
    app.command("list")(listing.list_choices)
    app.command()(partition.partition)
    return app


@contextmanager
def told() -> Iterator[None]:
    """A user's mistake ends in one or two lines and status 2, failed work in status 1."""
    try:
        yield
    except ConfigError as error:
        say(f"fedrun: {error}")
        raise typer.Exit(2) from error
    except RunError as error:
        say(f"fedrun: {error}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        say("fedrun: interrupted")
        raise typer.Exit(130) from error
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): no reason for noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        say(f"fedrun: {error.filename or 'the system'}: {error.strerror or error}")
        raise typer.Exit(1) from error


def say(text: str) -> None:
    """A line on stderr, whatever the terminal."""
    print(text, file=sys.stderr, flush=True)


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
