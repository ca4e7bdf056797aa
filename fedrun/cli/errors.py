"""What every command does about mistakes, failures and interrupts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fedrun.core.option import ConfigError, RunError


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


def one_voice(quiet: bool, as_json: bool) -> None:
    """Refuse two kinds of output at once."""
    if quiet and as_json:
        raise ConfigError("--quiet and --json exclude each other: give one")
