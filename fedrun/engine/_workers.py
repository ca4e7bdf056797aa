"""Where jobs are worked on: in this process, in N threads, or in N processes that share the data.

Workers are forked once, when the first jobs are there, and before anything has run on a second
thread; so they share every tensor without a copy. Where a system cannot fork (Windows; macOS, whose
frameworks do not survive it), the same N are threads: the same bits, less speed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

from fedrun.core.federation import Map
from fedrun.core.tree import Tree
from fedrun.engine._worker import Work

AT_ONCE = 64


@contextmanager
def open_workers(work: Work, workers: int) -> Iterator[Map]:
    """A `Map` over this many workers, and their end when the context is left."""
    if workers == 1:
        yield Here(work)
    elif sys.platform == "linux":
        from fedrun.engine._crew import Crew

        with Crew(work, workers) as crew:
            yield crew
    else:
        with open_threads(work, workers) as threads:
            yield threads


class Here:
    """This process itself: a job is worked on when its result is asked for."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(
        self, message: Tree, jobs: Sequence[Any], costs: Sequence[float] | None = None
    ) -> Iterator[Any]:
        return (self.work(message, job) for job in jobs)


@contextmanager
def open_threads(work: Work, workers: int) -> Iterator[Map]:
    """A `Map` over threads of this process, for work that lets go of the interpreter's lock."""
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield Threads(work, pool)
    finally:
        pool.shutdown(cancel_futures=True)


class Threads:
    """The pool's threads take jobs while this one goes on."""

    def __init__(self, work: Work, pool: ThreadPoolExecutor) -> None:
        self.work, self.pool = work, pool

    def __call__(
        self, message: Tree, jobs: Sequence[Any], costs: Sequence[float] | None = None
    ) -> Iterator[Any]:
        out = {k: self.pool.submit(self.work, message, jobs[k]) for k in order(len(jobs), costs)}
        return (out.pop(index).result() for index in range(len(jobs)))


def order(count: int, costs: Sequence[float] | None) -> list[int]:
    """The longest job first, so that nobody is left with it at the end.

    Only among so many neighbours: results are used in the order of the jobs, and wait until then.
    """
    if costs is None:
        return list(range(count))
    return sorted(range(count), key=lambda index: (index // AT_ONCE, -costs[index]))
