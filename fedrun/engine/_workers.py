"""Where chunks are worked on: in this process, or in N processes that share the data.

Workers are forked once, after the data and the model are built and before anything has run on a
second thread; so they share every tensor without a copy, and nothing has to be serialised but
messages and results. Where a system cannot fork (Windows; macOS, whose frameworks do not survive
it), the same N are threads: the same bits, less speed.

Each worker has its own pipe and closes its copies of everybody else's, so either side sees the end
of the other; and a worker dies with its runner, even when that is killed by SIGKILL.
"""

from __future__ import annotations

import ctypes
import io
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor

from fedrun.core.federation import Done, Job, Map
from fedrun.core.option import RunError
from fedrun.core.tree import Tree

Chunk = Callable[[Tree, Job], Done]


@contextmanager
def open_workers(chunk: Chunk, workers: int) -> Iterator[Map]:
    """A `Map` over this many workers, and their end when the context is left."""
    if workers == 1:
        yield lambda message, jobs: (chunk(message, job) for job in jobs)
    elif sys.platform == "linux":
        with _processes(chunk, workers) as crew:
            yield lambda message, jobs: _share_out(crew, message, list(jobs))
    else:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda message, jobs: pool.map(lambda job: chunk(message, job), jobs)


@contextmanager
def _processes(chunk: Chunk, workers: int) -> Iterator[list[tuple[BaseProcess, Connection]]]:
    context = multiprocessing.get_context("fork")
    crew: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            inherited = [ours, *(pipe for _, pipe in crew)]
            process = context.Process(
                target=_serve, args=(chunk, theirs, inherited, os.getpid()), daemon=True
            )
            with warnings.catch_warnings():
                # Python 3.12 warns of fork beside threads; numpy's BLAS keeps idle ones, which are
                # safe.
                warnings.filterwarnings("ignore", "This process", DeprecationWarning)
                process.start()
            theirs.close()
            crew.append((process, ours))
        yield crew
    finally:
        for process, pipe in crew:
            pipe.close()
            process.terminate()
        for process, _ in crew:
            process.join()


def _serve(chunk: Chunk, pipe: Connection, inherited: list[Connection], parent: int) -> None:
    # Ctrl-C reaches the whole process group; only the runner decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    torch.set_num_threads(1)
    die_with_parent()
    message = Tree()
    while os.getppid() == parent:
        try:
            kind, payload = _receive(pipe)
            if kind == "message":
                message = payload
                continue
            index, job = payload
            result: Any
            try:
                result = chunk(message, job)
            except Exception as error:  # told to the runner, which raises it there
                error.add_note("in a worker process:\n" + traceback.format_exc())
                result = error
            _send(pipe, (index, result))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def die_with_parent() -> None:
    """Ask Linux to kill this process when the runner ends, also in the middle of a long chunk: an
    orphan would hold the cores and the run's lock."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _share_out(
    crew: list[tuple[BaseProcess, Connection]], message: Tree, jobs: list[Job]
) -> Iterable[Done]:
    """Results in the order of the jobs; whoever is free takes the next one."""
    results: dict[int, Done] = {}
    waiting = iter(enumerate(jobs))
    busy: dict[Connection, BaseProcess] = {}

    def hand_out(process: BaseProcess, pipe: Connection) -> None:
        busy.pop(pipe, None)
        item = next(waiting, None)
        if item is not None:
            _send(pipe, ("job", item))
            busy[pipe] = process

    try:
        for process, pipe in crew[: len(jobs)]:
            _send(pipe, ("message", message))
            hand_out(process, pipe)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                index, result = _receive(pipe)
                if isinstance(result, Exception):
                    raise result
                results[index] = result
                hand_out(busy[pipe], pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError) as error:
        raise _lost(crew) from error
    return [results[index] for index in range(len(jobs))]


class _Pickler(pickle.Pickler):
    """Tensors travel as their bytes. `Connection.send` would have PyTorch put every one of them
    into shared memory of its own: an open file each, of which a process may have about a thousand.

    Pickle is safe here, and only here: both ends are this very program, and the pipe has no name.
    """

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


def _send(pipe: Connection, value: Any) -> None:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    pipe.send_bytes(buffer.getbuffer())


def _receive(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes())


def _lost(crew: list[tuple[BaseProcess, Connection]]) -> RunError:
    ended = wait([process.sentinel for process, _ in crew], timeout=1.0)
    for process, _ in crew:
        if process.sentinel in ended:
            process.join(timeout=1.0)  # the sentinel comes a moment before the exit status
        if process.exitcode is not None:
            code = process.exitcode
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            return RunError(
                f"a worker process ended ({how}); if memory ran out, take fewer engine.workers "
                f"or a smaller engine.chunk"
            )
    return RunError("a worker process closed its pipe")
