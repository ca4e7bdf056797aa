"""Working a sweep off: so many cells at a time, and whatever becomes of one, the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

from fedrun.experiment.batch import INTERRUPTED, LOOK, ended, in_use, why_failed
from fedrun.experiment.interrupt import Interrupts
from fedrun.experiment.launcher import End, Launcher, Work
from fedrun.experiment.lock import is_in_use
from fedrun.experiment.sweep import PENDING, Cell, Sweep, finished
from fedrun.experiment.tracking import pass_on

AGAIN = 1.0  # seconds between two looks at a run that another process is working on


class Watcher(Protocol):
    """Whoever watches: told of each cell's beginning, its rounds, and its end."""

    def started(self, cell: Cell) -> None: ...
    def advanced(self, cell: Cell) -> None: ...
    def ended(self, cell: Cell) -> None: ...
    def idle(self) -> None:
        """Called several times a second."""


class Nobody:
    """A watcher that looks away."""

    def started(self, cell: Cell) -> None:
        pass

    def advanced(self, cell: Cell) -> None:
        pass

    def ended(self, cell: Cell) -> None:
        pass

    def idle(self) -> None:
        pass


class Search(Protocol):
    """Whoever thinks of further cells, and gives up on some."""

    def next(self) -> Cell | None:
        """A new cell, which is in the sweep now; None where there are enough."""

    def hopeless(self, cell: Cell) -> bool:
        """Whether a cell that has come a round further had better end."""


class Grid:
    """All cells are known from the beginning, and all are wanted."""

    def next(self) -> Cell | None:
        return None

    def hopeless(self, cell: Cell) -> bool:
        return False


def work(
    sweep: Sweep, processes: int, launcher: Launcher, watcher: Watcher, search: Search | None = None
) -> None:
    """Bring every pending cell to its end; the sweep is open, and its record always true.

    When interrupted, the runs are saved before `KeyboardInterrupt` goes on.
    """
    search = search or Grid()
    waiting = [cell for cell in sweep.cells if cell.status in PENDING]
    running: dict[Path, tuple[Cell, Work]] = {}
    looked: dict[Path, float] = {}
    warned: set[str] = set()
    try:
        with Interrupts(), ended(running):
            while True:
                while len(running) < processes:
                    cell = _startable(waiting, running, looked)
                    if cell:
                        waiting.remove(cell)
                    elif (cell := search.next()) is None:
                        break
                    elif cell.job.path in running:  # it has come to the config of another trial
                        waiting.append(cell)
                        continue
                    _start(cell, sweep, launcher, watcher, running)
                if not running and not waiting:
                    return
                sleep(LOOK)
                for cell in _settled(running, search, watcher, warned):
                    if cell.elsewhere:
                        waiting.append(cell)
                    else:
                        cell.ended = monotonic()
                        watcher.ended(cell)
                    sweep.save()
                watcher.idle()
    finally:
        for cell in sweep.cells:
            if cell.status == "running":
                cell.status = "interrupted"
        sweep.save()


def _startable(
    waiting: list[Cell], running: dict[Path, tuple[Cell, Work]], looked: dict[Path, float]
) -> Cell | None:
    """The first cell whose run nobody is working on."""
    for cell in waiting:
        path = cell.job.path
        if path in running or monotonic() - looked.get(path, -AGAIN) < AGAIN:
            continue
        cell.elsewhere = path.is_dir() and is_in_use(path)
        if not cell.elsewhere:
            return cell
        cell.look()
        looked[path] = monotonic()
    return None


def _start(
    cell: Cell, sweep: Sweep, launcher: Launcher, watcher: Watcher,
    running: dict[Path, tuple[Cell, Work]],
) -> None:  # fmt: skip
    cell.job = cell.job.again()
    if cell.job.finished:  # another process was faster
        finished(cell)
        watcher.ended(cell)
    else:
        cell.status = "running"
        cell.look()
        cell.begun_at = cell.round
        running[cell.job.path] = cell, launcher.start(cell.job.words)
        watcher.started(cell)
    sweep.save()


def _settled(
    running: dict[Path, tuple[Cell, Work]], search: Search, watcher: Watcher, warned: set[str]
) -> Iterator[Cell]:
    """The cells that have ended since the last look."""
    for path, (cell, process) in list(running.items()):
        end = process.poll()
        further = cell.look()
        if further:
            watcher.advanced(cell)
        if end is not None:
            del running[path]
            _end(cell, end)
            pass_on(end.text, cell.title, warned)
            yield cell
        elif further and cell.status == "running" and search.hopeless(cell):
            cell.status, cell.reason = "pruned", f"behind the others in round {cell.round}"
            process.stop()


def _end(cell: Cell, end: End) -> None:
    cell.job = cell.job.again()
    failure = why_failed(cell.job, end)
    if cell.job.finished:
        finished(cell)
    elif cell.status == "pruned":
        pass
    elif in_use(end):
        cell.status, cell.elsewhere = "interrupted" if cell.round else "waiting", True
    elif end.code == INTERRUPTED:
        cell.status, cell.reason = "interrupted", "interrupted from outside"
    else:
        cell.status, cell.reason = "failed", failure
