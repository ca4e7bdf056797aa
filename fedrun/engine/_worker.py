"""A worker: a forked process that takes jobs from the common queue until the runner ends."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import traceback
from collections.abc import Callable, Sequence
from socket import socket
from typing import Any

import torch

from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.engine._arena import Arena, Block, survives

Work = Callable[[Tree, Any], Any]

UNHEARD = {signal.SIGINT, signal.SIGTERM}  # while a worker is forked

JOB = struct.Struct("<QQQQQQ16x")
"""ticket, batch, block of the message, block of the job; 64 bytes, so that none lies across two of
a pipe's pages and each is read in one piece by one of several readers."""
ANSWER = struct.Struct("<QQQQ")
"""ticket, whether it failed, block of the result"""


def serve(
    work: Work,
    queue: int,
    answers: socket,
    inbox: Arena,
    outbox: Arena,
    runner: int,
    not_ours: Sequence[int],
) -> None:
    """Everything that this process does; returns when the runner has closed the queue."""
    # Ctrl-C reaches the whole process group; only the runner decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, UNHEARD)
    for file in not_ours:
        os.close(file)
    torch.set_num_threads(1)
    die_with_parent()
    message, known = Tree(), None
    while os.getppid() == runner:
        record = os.read(queue, JOB.size)
        if not record:
            return
        ticket, batch, *places = JOB.unpack(record)
        try:
            if batch != known:
                message, known = inbox.read(Block(*places[:2])), batch
            result = work(message, inbox.read(Block(*places[2:])))
        except Exception as error:  # told to the runner, which raises it there
            failed, block = True, outbox.write(portable(error))
        else:
            failed, block = sent(result, outbox)
            del result
        try:
            answers.send(ANSWER.pack(ticket, failed, *block))
        except (BrokenPipeError, ConnectionResetError):
            return


def sent(result: Any, outbox: Arena) -> tuple[bool, Block]:
    """Whether the result could not be put into the arena, and where it, or the reason, lies."""
    try:
        return False, outbox.write(result)
    except Exception as error:  # told to the runner; pickling runs code of any class
        return True, outbox.write(in_words(error, "a worker process cannot send its result"))


def portable(error: Exception) -> Exception:
    """The exception being handled, or its words where the runner could not read it."""
    if not survives(error):
        return in_words(error, "an exception in a worker process")
    error.add_note(where())
    return error


def in_words(error: Exception, happened: str) -> RunError:
    # The traceback is part of the text: a command shows no more of a `RunError` than that.
    # format_exception_only also bears an exception whose __str__ fails.
    line = traceback.format_exception_only(error)[0].strip()
    return RunError(f"{happened}: {line}\n{where()}")


def where() -> str:
    return "in a worker process:\n" + traceback.format_exc()


def die_with_parent() -> None:
    """Ask Linux to kill this process when the runner ends, also in the middle of a long chunk: an
    orphan would hold the cores and the run's lock."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
