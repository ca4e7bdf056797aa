"""What every command does about mistakes, failures and interrupts."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import typer

from fedrun.core.option import ConfigError, RunError

FULL = (errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)  # why writing may fail


@contextmanager
def told() -> Iterator[None]:
    """A user's mistake ends in one or two lines and status 2, failed work in status 1."""
    try:
        yield
        sys.stdout.flush()  # here a failure is told in a line, and at exit in a traceback
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
        silence(sys.stdout)  # whoever read our output has left (`| head`): no reason for noise
        raise typer.Exit(1) from None
    except OSError as error:
        source = error.filename or ("stdout" if is_full(sys.stdout, error) else "the system")
        say(f"fedrun: {source}: {error.strerror or error}")
        raise typer.Exit(1) from error


def is_full(stream: TextIO, error: OSError) -> bool:
    """Whether it is this stream that could not be written; then it is closed for good."""
    if error.errno not in FULL:
        return False
    try:
        print(file=stream, flush=True)
    except OSError:
        silence(stream)
        return True
    return False


def unshown(stream: TextIO, error: OSError, then: str = "") -> SystemExit:
    """What ends a run whose view cannot be written: it is saved, as at Ctrl-C, and no file of its
    own is to blame. Said in a line, but of a reader that has left (`| head`)."""
    silence(stream)
    if not isinstance(error, BrokenPipeError):
        say(f"fedrun: writing to stdout failed: {error.strerror or error}{then}")
    return SystemExit(1)


def silence(stream: TextIO) -> None:
    """What is still to be written there goes nowhere, or exit would fail on it."""
    with suppress(OSError):  # a stream that is no file has nothing to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    """A line on stderr, whatever the terminal."""
    print(text, file=sys.stderr, flush=True)


def one_voice(quiet: bool, as_json: bool) -> None:
    """Refuse two kinds of output at once."""
    if quiet and as_json:
        raise ConfigError("--quiet and --json exclude each other: give one")
