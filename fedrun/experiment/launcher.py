"""Where runs are executed: each in a process of its own on this machine.

A process stays in our process group, so whoever kills the group (a closing terminal, a batch
system, SIGKILL) kills the runs too, and no run goes on unseen. Imports no PyTorch.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Protocol

from fedrun.experiment.choices import PACKAGE

MOST = 500  # letters of an unforeseen message


@dataclass(frozen=True)
class End:
    """How a process ended: its exit status (minus the signal), and what it said on stderr."""

    code: int
    text: str

    @property
    def reason(self) -> str:
        """The last message, without the program's name before it."""
        _, found, told = f"\n{self.text}".rpartition("\nfedrun: ")
        last = told if found else self.text[-MOST:]
        return last.strip() or how(self.code)


class Work(Protocol):
    """A run that is being worked on somewhere."""

    def poll(self) -> End | None:
        """How it ended; None while it goes on."""

    def stop(self) -> None:
        """Ask it to save its run and end."""

    def wait(self) -> None:
        """Until it has ended; nothing is left behind."""


class Launcher(Protocol):
    """Starts `fedrun WORDS...` somewhere."""

    def start(self, words: Sequence[str]) -> Work: ...


class Local:
    """Processes of this machine."""

    def start(self, words: Sequence[str]) -> Work:
        errors = TemporaryFile()  # noqa: SIM115 (it outlives this function)
        return _Process(
            subprocess.Popen(
                command(words),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                env=environment(),
            ),
            errors,
        )  # fmt: skip


@dataclass(frozen=True)
class _Process:
    popen: subprocess.Popen[bytes]
    errors: IO[bytes]

    def poll(self) -> End | None:
        if self.popen.poll() is None:
            return None
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace").strip()
        self.errors.close()
        return End(self.popen.returncode, text)

    def stop(self) -> None:
        self.popen.terminate()

    def wait(self) -> None:
        self.popen.wait()
        self.errors.close()


def command(words: Sequence[str]) -> list[str]:
    """This very fedrun, whatever lies in the working folder (with `environment`)."""
    return [sys.executable, "-P", "-m", "fedrun", *words]


def environment() -> dict[str, str]:
    """Ours, with where this fedrun lies; a run takes one thread, so its processes may do so too."""
    given = os.environ.get("PYTHONPATH")
    found = os.pathsep.join([str(PACKAGE.parent), *([given] if given else [])])
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": found}


def how(code: int) -> str:
    """An exit status in words.

    >>> how(-9)
    'ended by signal 9 (SIGKILL)'
    """
    if code < 0:
        from signal import Signals

        return f"ended by signal {-code} ({Signals(-code).name})"
    return f"ended with status {code}"
