"""The runner's side of the worker processes.

Whoever is free takes the next job from one common pipe, so the runner may do something else while
they work. Messages and jobs lie in the runner's arena, which all workers see, and each worker
answers in an arena of its own. Pipes carry only where things lie. So a message is written once a
round, for any number of workers, and a result is copied nowhere.

Each worker has its own socket and closes its copies of everybody else's, so either side sees the
end of the other; and a worker dies with its runner, even when that is killed by SIGKILL.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.engine._arena import Arena, Block
from fedrun.engine._worker import ANSWER, JOB, UNHEARD, Work, serve
from fedrun.engine._workers import order

AHEAD = 64 * 2**20  # bytes of jobs that lie ready for the workers
MOST = 512  # jobs likewise: their records fit into a pipe, so the runner never waits there


@dataclass(frozen=True)
class Worker:
    process: BaseProcess
    answers: socket.socket
    outbox: Arena


@dataclass
class Batch:
    """The jobs of one call: those that wait, and the results that nobody has asked for yet."""

    number: int
    message: Block
    jobs: Sequence[Any]
    waiting: deque[int]
    left: int
    results: dict[int, tuple[bool, Any]] = field(default_factory=dict)


class Crew:
    """A `Map`: jobs are out when the call returns, and results come in the order of the jobs."""

    def __init__(self, work: Work, workers: int) -> None:
        self.work, self.size = work, workers
        self.workers: dict[int, Worker] = {}  # by the number of the socket's file
        self.batches: deque[Batch] = deque()  # with jobs that are not out yet
        self.out: dict[int, tuple[Batch, int, Block]] = {}  # by ticket: batch, place, block
        self.number = self.ticket = self.ready = 0  # ready: bytes of the jobs that are out

    def __enter__(self) -> Crew:
        self.arena = Arena()
        self.queue = os.pipe()
        self.poll = select.poll()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.queue[0])
        os.close(self.queue[1])
        self.arena.close()
        for worker in self.workers.values():
            worker.answers.close()
            worker.outbox.close()
            worker.process.terminate()
        for worker in self.workers.values():
            worker.process.join()

    def __call__(
        self, message: Tree, jobs: Sequence[Any], costs: Sequence[float] | None = None
    ) -> Iterator[Any]:
        if not jobs:
            return iter(())
        if not self.workers:  # more of them than a round has chunks would have nothing to do
            for _ in range(min(self.size, len(jobs))):
                self._start()
        self.number += 1
        waiting = deque(order(len(jobs), costs))
        batch = Batch(self.number, self.arena.write(message), jobs, waiting, len(jobs))
        self.batches.append(batch)
        self._hand_out()
        return self._results(batch)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outbox = Arena()
        others = [
            file for w in self.workers.values() for file in (w.answers.fileno(), w.outbox.file)
        ]
        not_ours = [ours.fileno(), self.queue[1], *others]
        process = multiprocessing.get_context("fork").Process(
            target=serve,
            args=(self.work, self.queue[0], theirs, self.arena, outbox, os.getpid(), not_ours),
            daemon=True,
        )
        with warnings.catch_warnings(), signals_later():
            # Python 3.12 warns of fork beside threads; numpy's BLAS keeps idle ones, which are safe
            warnings.filterwarnings("ignore", "This process", DeprecationWarning)
            process.start()
        theirs.close()
        self.workers[ours.fileno()] = Worker(process, ours, outbox)
        self.poll.register(ours, select.POLLIN)

    def _hand_out(self) -> None:
        """Put jobs into the queue, as many as are sure to find room."""
        records = []
        while self.batches and (
            len(self.out) < 2 * len(self.workers) or (len(self.out) < MOST and self.ready < AHEAD)
        ):
            batch = self.batches[0]
            index = batch.waiting.popleft()
            if not batch.waiting:
                self.batches.popleft()
            self.ticket += 1
            block = self.arena.write(batch.jobs[index])
            self.out[self.ticket] = batch, index, block
            self.ready += block.length
            records.append(JOB.pack(self.ticket, batch.number, *batch.message, *block))
        if records:
            os.write(self.queue[1], b"".join(records))

    def _results(self, batch: Batch) -> Iterator[Any]:
        for index in range(len(batch.jobs)):
            while index not in batch.results:
                self._receive()
            failed, result = batch.results.pop(index)
            if failed:
                raise result
            yield result

    def _receive(self) -> None:
        """Wait for an answer, and take those that are there."""
        for file, _ in self.poll.poll():
            worker = self.workers[file]
            try:
                record = worker.answers.recv(ANSWER.size)
                if not record:
                    raise EOFError
                ticket, failed, *place = ANSWER.unpack(record)
                result = worker.outbox.lend(Block(*place))
            except (EOFError, BrokenPipeError, ConnectionResetError) as error:
                raise self._lost() from error
            batch, index, block = self.out.pop(ticket)
            batch.results[index] = bool(failed), result
            self.arena.free(block)
            self.ready -= block.length
            batch.left -= 1
            if not batch.left:
                self.arena.free(batch.message)
        self._hand_out()

    def _lost(self) -> RunError:
        processes = [worker.process for worker in self.workers.values()]
        ended = wait([process.sentinel for process in processes], timeout=1.0)
        for process in processes:
            if process.sentinel in ended:
                process.join(timeout=1.0)  # the sentinel comes a moment before the exit status
            if process.exitcode is not None:
                code = process.exitcode
                how = (
                    f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
                )
                return RunError(
                    f"a worker process ended ({how}); if memory ran out, take fewer engine.workers "
                    f"or a smaller engine.chunk"
                )
        return RunError("a worker process closed its socket")


@contextmanager
def signals_later() -> Iterator[None]:
    """Fork undisturbed: a worker says itself what Ctrl-C means to it before it hears of one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
