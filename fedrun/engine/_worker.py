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

from fedrun.core.tree import Tree
from fedrun.engine._arena import Arena, Block

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
        if batch != known:
            message, known = inbox.read(Block(*places[:2])), batch
        failed = False
        result: Any
        try:
            result = work(message, inbox.read(Block(*places[2:])))
        except Exception as error:  # told to the runner, which raises it there
            error.add_note("in a worker process:\n" + traceback.format_exc())
            result, failed = error, True
        try:
            answers.send(ANSWER.pack(ticket, failed, *outbox.write(result)))
        except (BrokenPipeError, ConnectionResetError):
            return


def die_with_parent() -> None:
    """Ask Linux to kill this process when the runner ends, also in the middle of a long chunk: an
    orphan would hold the cores and the run's lock."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
