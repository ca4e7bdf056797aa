"""What `fedrun sweep` shows: the cells while they run, how they ended, and what they would cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from fedrun.cli.errors import say
from fedrun.cli.sweep_table import closing, cost_table, counts, picture
from fedrun.cli.theme import THEME, figure_of, is_live
from fedrun.core.metric import SCORED
from fedrun.experiment.sweep_work import Nobody

if TYPE_CHECKING:
    from fedrun.experiment.sweep import Cell, Sweep


class Silent(Nobody):
    """Watches, and says nothing."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.began = sweep, monotonic()


class Lines(Silent):
    """One line for each cell that begins or ends, for logs and pipes."""

    def __init__(self, sweep: Sweep, console: Console) -> None:
        super().__init__(sweep)
        self.console = console
        console.print(counts(sweep), soft_wrap=True, markup=False)

    def started(self, cell: Cell) -> None:
        where = f"goes on after round {cell.round}" if cell.round else "begins"
        self.say(cell, where)

    def ended(self, cell: Cell) -> None:
        self.say(cell, " ".join(filter(None, (f"{cell.status}:", seen(self.sweep, cell)))))

    def say(self, cell: Cell, words: str) -> None:
        place = f"{cell.number}/{self.sweep.size}"
        self.console.print(f"{place} {cell.title}  {words}", soft_wrap=True, markup=False)


def seen(sweep: Sweep, cell: Cell) -> str:
    """How a cell ended: its figure, or its reason."""
    if cell.reason:
        return cell.reason
    found = cell.figure(sweep.metric)
    value = f"{found[0]} {figure_of(*found)}" if found else ""
    return f"{value} after {cell.round} round{'s' * (cell.round != 1)}"


class Screen(Silent):
    """A table that renews itself and fits the window, whatever the number of cells."""

    def __init__(self, sweep: Sweep, live: Live) -> None:
        super().__init__(sweep)
        self.live, self.drawn = live, 0.0

    def idle(self) -> None:
        if monotonic() - self.drawn > 0.25:
            self.drawn = monotonic()
            size = self.live.console.size
            shown = picture(self.sweep, self.drawn - self.began, size.width, size.height - 1)
            self.live.update(shown, refresh=True)


class Json(Silent):
    """One JSON object a line for everything that happens."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep)
        emit("sweep", path=str(sweep.path), cells=sweep.size,
             finished=sweep.count("finished"), failed=sweep.count("failed"))  # fmt: skip

    def started(self, cell: Cell) -> None:
        emit("start", **facts(cell))

    def advanced(self, cell: Cell) -> None:
        figures = {name: value for name, value in cell.figures.items() if "/" in name}
        emit("round", cell=cell.number, round=cell.round, rounds=cell.rounds, **figures)

    def ended(self, cell: Cell) -> None:
        figures = cell.figures if cell.status == "finished" else {}
        emit("end", **facts(cell), figures={n: v for n, v in figures.items() if "/" in n})


def facts(cell: Cell) -> dict[str, Any]:
    known = {"cell": cell.number, "overrides": list(cell.swept), "path": str(cell.job.path)}
    known |= {"status": cell.status, "round": cell.round, "rounds": cell.rounds}
    return {**known, **({"reason": cell.reason} if cell.reason else {})}


def emit(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}, allow_nan=False), flush=True)


@contextmanager
def watching(sweep: Sweep, quiet: bool, as_json: bool) -> Iterator[Silent]:
    """The view that fits: a live table on a terminal, lines in a pipe, JSON or nothing if asked."""
    console = Console(theme=THEME, highlight=False)
    try:
        if quiet:
            yield Silent(sweep)
        elif as_json:
            yield Json(sweep)
        elif is_live(console):
            with Live(console=console, auto_refresh=False, transient=True) as live:
                yield Screen(sweep, live)
        else:
            yield Lines(sweep, console)
    except KeyboardInterrupt:
        if as_json:
            emit("interrupted", path=str(sweep.path), **tally(sweep))
        done = sweep.count("finished")
        say(f"\n{done} of {sweep.size} cells are done, the others saved. "
            "The same command goes on.")  # fmt: skip
        raise


def ending(sweep: Sweep, quiet: bool, as_json: bool) -> None:
    """The closing words; for scripts the sweep's path alone, or one more object."""
    finished = [cell for cell in sweep.cells if cell.status == "finished"]
    if sweep.metric and finished and not any(sweep.metric in cell.figures for cell in finished):
        names = (name for name in finished[0].figures if name.startswith((*SCORED, "train/")))
        say(f"fedrun: {sweep.metric} was not measured (measured: {', '.join(names)})")
    if quiet:
        print(sweep.path)
    elif as_json:
        emit("done", path=str(sweep.path), **tally(sweep))
    else:
        console = Console(theme=THEME, highlight=False)
        closing(sweep, console)
        where = shlex.quote(str(sweep.path))
        if sweep.count("failed"):
            console.print(f"\nagain    {again(sweep)}", soft_wrap=True, markup=False)
        lines = f"\nsweep    {where}", f"table    fedrun compare {where}"
        for line in (*lines, f"page     fedrun report {where}"):
            console.print(line, soft_wrap=True, markup=False)


def again(sweep: Sweep) -> str:
    return f"{shlex.join(['fedrun', 'sweep', *sweep.command])} --retry-failed"


def tally(sweep: Sweep) -> dict[str, int]:
    found = {cell.status: 0 for cell in sweep.cells}
    for cell in sweep.cells:
        found[cell.status] += 1
    return found


def list_cells(sweep: Sweep, as_json: bool) -> None:
    """`--dry-run`: every cell with its run directory, its status and its cost."""
    from fedrun.experiment.sweep_cost import seconds, updates

    if as_json:
        for cell in sweep.cells:
            left = None if cell.status == "finished" else seconds(cell, sweep.cells)
            emit("cell", **facts(cell), updates=updates(cell), seconds=left)
        return
    cost_table(sweep, Console(theme=THEME, highlight=False))
